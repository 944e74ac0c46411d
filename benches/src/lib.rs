//! Benchmarks of the packet path, and what they are made of: peers, meetings and attacks that tests can use too.
//!
//! ```text
//! peer        a WebRTC endpoint without I/O: ICE, DTLS, SRTP
//! link        one direction of a network path: rate, queue, loss, delay, disorder
//! load        the load generator
//! meeting     a worker of the core with connected peers around it, in memory and under virtual time
//! seal        the bare AES-GCM that forwarding is measured against
//! floor       the bare seal and send that a whole server is measured against
//! abuse       datagrams that nobody should send
//! trace       what a browser sent, packet by packet
//! tun         the link on a TUN device, for real browsers
//! random      a seeded generator
//! ```

pub mod abuse;
pub mod floor;
pub mod link;
pub mod load;
pub mod meeting;
pub mod peer;
pub mod random;
pub mod seal;
pub mod trace;
pub mod tun;
