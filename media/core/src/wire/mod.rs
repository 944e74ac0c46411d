//! Packets as bytes: RTP headers and their extensions, RTCP. Zero-copy views to read, writers into the caller's buffer.
