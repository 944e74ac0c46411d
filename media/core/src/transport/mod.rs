//! One peer connection: ICE-lite, DTLS, SRTP, SCTP.

pub mod identity;
pub mod srtp;
