//! Every bound on what clients and hosts can make a room hold or do, with its reason.

use std::time::Duration;

/// Participants of one room, whatever its own limit says: teaching mode plans for 300 observers, and messages about
/// participants grow with the square.
pub const PARTICIPANTS_MAX: usize = 1_000;
/// Tracks that one participant may publish, announced ones included. The media core takes twice as many sections.
pub const TRACKS_PER_PARTICIPANT_MAX: usize = 32;
/// Codecs that one announcement may list: a primary, a backup, and room for what comes.
pub const CODECS_PER_TRACK_MAX: usize = 4;
/// Layers of one codec; the SDKs send at most three.
pub const LAYERS_PER_CODEC_MAX: usize = 4;
/// Audio or trailer features of one track; the protocol knows seven.
pub const FEATURES_PER_TRACK_MAX: usize = 16;
/// Bytes of a client's name for its track (`cid`), a track's name or stream.
pub const TRACK_TEXT_LEN_MAX: usize = 256;
/// Bytes of an identity or a display name.
pub const NAME_LEN_MAX: usize = 256;
/// Bytes of a room's name.
pub const ROOM_NAME_LEN_MAX: usize = 256;
/// Bytes of a participant's or a room's metadata: every join carries all of them.
pub const METADATA_LEN_MAX: usize = 64 * 1024;
/// Attributes of one participant.
pub const ATTRIBUTES_MAX: usize = 64;
/// Bytes of all attributes of one participant, keys and values together.
pub const ATTRIBUTES_LEN_MAX: usize = 64 * 1024;
/// Entries in one list of tracks or participants that a client sends.
pub const SIDS_PER_REQUEST_MAX: usize = 4_096;
/// Bytes of one data packet as it travels. The client protocol's own cap.
pub const DATA_PACKET_LEN_MAX: usize = 64_000;
/// Reliable packets, and bytes of them, that wait for a participant who has joined and whose channel is not open yet: what a
/// meeting says in the second that a handshake takes. What is beyond is not sent.
pub const EARLY_PACKETS_MAX: usize = 256;
pub const EARLY_BYTES_MAX: usize = 1 << 20;
/// Data channels whose labels are remembered for one connection; the SDKs open three.
pub const CHANNELS_PER_PEER_MAX: usize = 8;
/// m-sections asked for in one message: what a client must add before it can receive everything.
pub const SECTIONS_REQUEST_MAX: u32 = 64;

/// How long a participant without a working session or connection is kept. Ten seconds without a network, and three for the
/// client's next attempt to come through; more would leave closed laptops in the room. With the 15 s in which a client may
/// send nothing, one that is suspended leaves after 30 s at most.
pub const RESUME_WINDOW: Duration = Duration::from_secs(15);
/// How long a client that closed its connection in order is kept while its goodbye is on its way over the WebSocket. On the
/// same host the goodbye comes a few milliseconds later; this is a bad mobile line's round trip and a retransmission.
pub const GOODBYE_WINDOW: Duration = Duration::from_secs(2);
/// How long a participant may take from joining to a working connection: the media core's own limit and some room for its
/// event to arrive.
pub const CONNECT_WINDOW: Duration = Duration::from_secs(35);
/// How long a client may take to answer an offer. The SDKs answer within the blink of an eye; this is a phone that wakes up,
/// on a bad line. Longer than the ping timeout, so that whoever is gone altogether ends as that.
pub const ANSWER_WINDOW: Duration = Duration::from_secs(20);
/// How long after the last change a publisher is told that it needs to send less.
pub const LOWER_DEMAND_AFTER: Duration = Duration::from_secs(5);
/// Least time between two messages that carry nothing but the number of people: a storm of joins is told as one.
pub const ROOM_UPDATE_INTERVAL: Duration = Duration::from_secs(1);
