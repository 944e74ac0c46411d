//! SDP to the typed parameters of the media core, and back.
