//! What the operator decides about rooms.

use crate::room::ServerFacts;
use livekit_protocol::IceServer;
use std::time::Duration;

/// What the SDKs take us for. They compare it with the version of the LiveKit server in which a feature came: remote
/// calls (RPC) need 1.8.0; after 1.13.6, simulcast of VP9 and AV1 is taken for granted.
const FEATURE_LEVEL: &str = "1.8.0";

#[derive(Clone, Debug)]
pub struct RoomsConfig {
    /// How long a room waits for its first participant.
    pub empty_timeout: Duration,
    /// How long a room stays after its last participant left.
    pub departure_timeout: Duration,
    /// Participants of a room that says nothing else; 0 is no limit but [`crate::room::limits::PARTICIPANTS_MAX`].
    pub max_participants: u32,
    /// Audio tracks that a room forwards, the loudest, unless it says otherwise; 0 is all.
    pub loudest_speakers: u8,
    /// Rooms at a time.
    pub max_rooms: usize,
    /// Whether clients may ask for faults (`SimulateScenario`).
    pub simulate: bool,
    /// Name of this server, told to clients.
    pub node: String,
    pub region: String,
    /// A semantic version, told to clients: some SDKs do not join without one, and all take it for a feature level rather
    /// than for a name, so it is not the version of this program.
    pub version: String,
    pub ice_servers: Vec<IceServer>,
}

impl Default for RoomsConfig {
    fn default() -> Self {
        Self {
            empty_timeout: Duration::from_secs(300),
            departure_timeout: Duration::from_secs(20),
            max_participants: 0,
            loudest_speakers: 0,
            // The design unit is one hospital trust with 132 meetings at peak; this is ten of them.
            max_rooms: 1_500,
            simulate: false,
            node: "node".to_owned(),
            region: String::new(),
            version: FEATURE_LEVEL.to_owned(),
            ice_servers: Vec::new(),
        }
    }
}

impl RoomsConfig {
    pub(super) fn facts(&self) -> ServerFacts {
        ServerFacts {
            node: self.node.clone(),
            region: self.region.clone(),
            version: self.version.clone(),
            ice_servers: self.ice_servers.clone(),
        }
    }
}
