//! The layers of a source that leave now, and those that left when a packet was sent that comes late or is asked for again: it
//! shares the fate of its picture, also when another source has taken over since. Refuses to know who chooses them.

use crate::egress::packet::PacketInfo;
use crate::ids::RtpTime;
use crate::params::LayerLimit;

/// Changes that are remembered. Layers and sources change a few times a second at most, and what is older than two seconds is
/// asked for by nobody.
const CHANGES: usize = 6;

/// What left of a source until a picture of this time.
#[derive(Clone, Copy)]
struct Former {
    stream: usize,
    until: RtpTime,
    layers: LayerLimit,
}

pub struct Layers {
    /// They may rise only where the encoder allows it.
    now: LayerLimit,
    /// The source that they are of.
    stream: Option<usize>,
    /// Newest first.
    former: [Option<Former>; CHANGES],
}

impl Default for Layers {
    fn default() -> Self {
        Self { now: LayerLimit::ALL, stream: None, former: [None; CHANGES] }
    }
}

impl Layers {
    pub fn now(&self) -> LayerLimit {
        self.now
    }

    /// A source takes over. `last` is the newest time that left of the one before, by its own clock.
    pub fn begin(&mut self, stream: usize, layers: LayerLimit, last: Option<RtpTime>) {
        if let Some((before, last)) = self.stream.zip(last) {
            self.remember(Former { stream: before, until: last.wrapping_add(1), layers: self.now });
        }
        (self.stream, self.now) = (Some(stream), layers);
    }

    /// Nothing that was sent so far comes late or is asked for.
    pub fn forget(&mut self) {
        (self.stream, self.former) = (None, [None; CHANGES]);
    }

    /// The stream's times mean something else now.
    pub fn forget_stream(&mut self, stream: usize) {
        for former in &mut self.former {
            *former = former.filter(|former| former.stream != stream);
        }
        self.former.sort_by_key(Option::is_none);
        self.stream = self.stream.filter(|current| *current != stream);
    }

    /// Follows what is wanted where `packet` of the current source allows it; `true` when the packet is left out.
    pub fn follow(&mut self, packet: &PacketInfo, wanted: LayerLimit) -> bool {
        if packet.temporal_id.is_none() && packet.spatial_id.is_none() {
            return false;
        }
        let before = self.now;
        if packet.start_of_picture && packet.is_newest {
            if wanted.temporal < self.now.temporal || packet.switching_up {
                self.now.temporal = wanted.temporal;
            }
            if wanted.spatial < self.now.spatial || packet.keyframe {
                self.now.spatial = wanted.spatial;
            }
        }
        if before != self.now {
            self.remember(Former { stream: packet.stream, until: packet.timestamp, layers: before });
        }
        if packet.is_newest { exceeds(packet, self.now) } else { self.left_out(packet) }
    }

    /// Whether the picture of a packet that comes late, or is asked for again, was left out, or that size of it.
    pub fn left_out(&self, packet: &PacketInfo) -> bool {
        let own = self.former.iter().map_while(|former| *former).filter(|former| former.stream == packet.stream);
        let held = own.take_while(|former| packet.timestamp.since(former.until) < 0).last();
        exceeds(packet, held.map_or(self.now, |former| former.layers))
    }

    fn remember(&mut self, former: Former) {
        self.former.rotate_right(1);
        self.former[0] = Some(former);
    }
}

fn exceeds(packet: &PacketInfo, layers: LayerLimit) -> bool {
    packet.temporal_id.is_some_and(|temporal| temporal > layers.temporal)
        || packet.spatial_id.is_some_and(|spatial| spatial > layers.spatial)
}
