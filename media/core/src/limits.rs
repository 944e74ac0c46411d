//! Every bound on what a peer can make the core hold or do, with its reason.

use std::time::Duration;

/// Simulcast encodings of a track. Browsers send at most three; SDKs at most four.
pub const ENCODINGS_MAX: usize = 4;
/// SSRCs that a peer may bring into being over its life, retransmission streams included. A state exists only after
/// authentication, so this bounds what an authenticated peer can do; it is never given up, because a replay window that was
/// forgotten protects nothing. Each screen share makes up to six: this is a share per case through the longest list, five
/// times over, at 300 KiB for whoever goes that far.
pub const STREAMS_PER_PEER_MAX: usize = 1_024;
/// m-sections that a peer may send on.
pub const RECEIVE_SECTIONS_MAX: usize = 64;
/// Data channels of a peer; the SDKs open three.
pub const DATA_CHANNELS_MAX: usize = 16;
/// Largest data-channel message that we accept or send, in bytes. The protocol's own cap is 64,000 for user data; the SDKs
/// announce 262,144 at most.
pub const DATA_MESSAGE_LEN_MAX: usize = 262_144;
/// Largest data-channel message that we take from a peer, in bytes: the client protocol's own cap. Those of other servers
/// (the SDKs announce more) are none of ours.
pub const DATA_RECEIVED_LEN_MAX: usize = 64_000;
/// Reliable bytes queued towards one peer over all data channels, before its backlog is dealt with.
pub const DATA_BUFFERED_BYTES_MAX: usize = 4 << 20;
/// Reliable bytes waiting for a peer from which on those who send to its room have to wait, and down to which: at the rate
/// that one sender has, half a second and a quarter. What is between this and [`DATA_BUFFERED_BYTES_MAX`] has room for what was
/// taken from senders before they were held, one burst included.
pub const DATA_BEHIND_BYTES: usize = DATA_BUFFERED_BYTES_MAX / 4;
pub const DATA_CAUGHT_UP_BYTES: usize = DATA_BUFFERED_BYTES_MAX / 8;
/// Lossy bytes queued towards one peer over all data channels: two seconds at 2 Mbit/s, and what is older is of no use.
pub const LOSSY_BUFFERED_BYTES_MAX: usize = 512 * 1024;
/// Reliable bytes waiting for a peer from which on it is sent no lossy ones. SCTP sends unordered messages first, so a
/// stream of them would keep reliable ones waiting until the peer is closed for its backlog.
pub const LOSSY_YIELD_BYTES: usize = DATA_BUFFERED_BYTES_MAX / 4;
/// Longest datagram handled, in bytes. Ethernet's 1,500 and some room for tunnels with larger frames.
pub const DATAGRAM_LEN_MAX: usize = 2_048;
/// How long a peer may take from [`crate::control::Command::AddPeer`] to being connected.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// RFC 7675 section 5.1: consent expires 30 s after the last authenticated check.
pub const CONSENT_TIMEOUT: Duration = Duration::from_secs(30);
/// Window over which loudness is averaged. Whoever begins to speak is to be told within half a second: two windows, as the
/// first may hold too little of the first word.
pub const AUDIO_LEVEL_WINDOW: Duration = Duration::from_millis(200);
/// Between two reports on how connections fare: somebody whose line is cut shows as such within a few seconds.
pub const FIGURES_INTERVAL: Duration = Duration::from_secs(1);
/// Least time between two keyframe requests for one encoding: a keyframe costs the publisher several times a delta frame.
pub const KEYFRAME_REQUEST_INTERVAL: Duration = Duration::from_millis(500);
/// The same where keyframes take long to come: somebody who has just joined sees nothing until then.
pub const KEYFRAME_REQUEST_INTERVAL_MAX: Duration = Duration::from_secs(2);
