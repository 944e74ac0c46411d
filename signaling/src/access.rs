//! Tokens: claims, grants, verification.
