//! The server API over HTTP (Twirp).
