//! A video packet that has its numbers and waits to leave; its bytes lie in the ingress cache.

use crate::drops::DropReason;
use crate::egress::packet::{Packet, PacketInfo};
use crate::egress::subscription::Outgoing;
use crate::ids::{RtpTime, Ssrc};
use crate::ingress::track::Track;
use crate::worker::keys::SubscriptionKey;

pub struct Held {
    pub subscription: SubscriptionKey,
    pub outgoing: Outgoing,
    /// It left before, and is missing at the subscriber.
    pub again: bool,
    info: PacketInfo,
    /// The stream as it was: one that began anew has other packets under the same numbers.
    ssrc: Option<Ssrc>,
}

impl Held {
    pub fn new(subscription: SubscriptionKey, track: &Track, info: &PacketInfo, outgoing: Outgoing) -> Self {
        let ssrc = track.streams.get(info.stream).and_then(|stream| stream.ssrc);
        Self { subscription, outgoing, again: false, info: *info, ssrc }
    }

    /// As [`Self::new`], of what is to leave once more.
    pub fn again(subscription: SubscriptionKey, track: &Track, info: &PacketInfo, outgoing: Outgoing) -> Self {
        Self { again: true, ..Self::new(subscription, track, info, outgoing) }
    }

    /// The time of its picture, by its publisher.
    pub fn time(&self) -> RtpTime {
        self.info.timestamp
    }

    /// The packet, unless it is gone meanwhile.
    pub fn packet<'a>(&'a self, track: &'a Track) -> Result<Packet<'a>, DropReason> {
        let stream = track.streams.get(self.info.stream).filter(|stream| stream.ssrc == self.ssrc);
        let bytes = stream.and_then(|stream| stream.cache.get(self.info.ext_seq)).ok_or(DropReason::NotInCache)?;
        Ok(Packet::new(&self.info, bytes))
    }
}
