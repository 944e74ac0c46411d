//! Composes one packet for one subscriber, sealed, straight into its place in the send batch.

use crate::batch::{Destination, Priority, SendBatch};
use crate::codec::{av1, red, vp8, vp9};
use crate::congestion::{Pacer, SentPackets};
use crate::drops::DropReason;
use crate::egress::held::Held;
use crate::egress::packet::{Descriptor, Packet};
use crate::egress::rewrite::Shift;
use crate::egress::subscription::{Outgoing, Subscription, touches_picture};
use crate::ids::{ExtSeqNo, PayloadType, SeqNo, Ssrc};
use crate::ingress::track::Track;
use crate::limits::DATAGRAM_LEN_MAX;
use crate::params::{HeaderExtension, MediaKind};
use crate::transport::srtp::SrtpOutbound;
use crate::wire::rtp::{HeaderFields, PADDING_BIT, header_size, write_header};
use crate::worker::keys::SubscriptionKey;
use crate::worker::pending::PADDING_LEN_MAX;
use smallvec::SmallVec;
use std::time::Instant;

/// The original sequence number in front of a retransmitted payload (RFC 4588 section 4).
const OSN_LEN: usize = 2;
/// Longest dependency descriptor that is copied to change its frame number; longer ones pass as they are. L3T3 with its
/// whole template structure takes about 90 bytes.
const DEPENDENCY_DESCRIPTOR_LEN_MAX: usize = 128;

/// Padding in a packet that carries nothing else: the most that its last byte can say (RFC 3550 section 5.1).
const PROBE_PADDING_LEN: usize = 255;

/// Padding in a packet that only fills a place.
const BLANK_LEN: usize = 1;

/// Where and under which keys a subscriber gets its packets.
pub struct Outlet<'a> {
    pub to: Destination,
    pub srtp: &'a SrtpOutbound,
    pub kind: MediaKind,
    /// Its transport-wide numbers, and the time of those used now.
    pub sent: &'a mut SentPackets,
    pub at_us: u64,
    /// Where video waits when the path is narrow.
    pub pacer: Option<&'a mut Pacer<Held>>,
}

/// As which stream a packet leaves.
enum Form {
    Original,
    Retransmission { payload_type: PayloadType, ssrc: Ssrc, seq: ExtSeqNo },
}

/// Sends a packet for the first time. Returns the datagram's length.
pub fn send(
    subscription: &mut Subscription,
    outlet: &mut Outlet<'_>,
    packet: &Packet<'_>,
    outgoing: &Outgoing,
    out: &mut SendBatch,
) -> Result<usize, DropReason> {
    let number = outlet.sent.next();
    let len = compose(subscription, outlet, packet, outgoing, (&Form::Original, number), out)?;
    subscription.count_sent(if outgoing.blank { 0 } else { packet.payload().len() });
    if subscription.extension_id(HeaderExtension::TransportCc) != 0 {
        outlet.sent.record(outlet.at_us, len);
        if subscription.sends_again_as(outgoing.mapping).is_none() {
            subscription.stamps.note(outgoing.sent.out, number);
        }
    }
    Ok(len)
}

/// As [`send`], or has the packet wait while the path is busy; 0 is returned then.
pub fn send_paced(
    now: Instant,
    (key, subscription): (SubscriptionKey, &mut Subscription),
    outlet: &mut Outlet<'_>,
    (track, packet, outgoing): (&Track, &Packet<'_>, &Outgoing),
    out: &mut SendBatch,
) -> Result<usize, DropReason> {
    if let Some(pacer) = outlet.pacer.as_deref_mut().filter(|pacer| pacer.must_wait(now)) {
        let held = Held::new(key, track, packet.info, *outgoing);
        let fits = pacer.push(held, packet.payload().len(), track.content);
        return if fits { Ok(0) } else { Err(DropReason::PacerFull) };
    }
    let len = send(subscription, outlet, packet, outgoing, out)?;
    if let Some(pacer) = &mut outlet.pacer {
        pacer.note(now, len);
    }
    Ok(len)
}

/// Sends a packet again: as RTX where negotiated, else under its own number, and then with the transport-wide number that it
/// had.
pub fn retransmit(
    subscription: &mut Subscription,
    outlet: &mut Outlet<'_>,
    packet: &Packet<'_>,
    outgoing: &Outgoing,
    out: &mut SendBatch,
) -> Result<usize, DropReason> {
    let numbered = subscription.extension_id(HeaderExtension::TransportCc) != 0;
    let Some((payload_type, ssrc)) = subscription.sends_again_as(outgoing.mapping) else {
        let number = match subscription.stamps.get(outgoing.sent.out) {
            Some(number) => number,
            None if numbered => return Err(DropReason::NotInCache),
            None => SeqNo::new(0),
        };
        return compose(subscription, outlet, packet, outgoing, (&Form::Original, number), out);
    };
    let form = Form::Retransmission { payload_type, ssrc, seq: subscription.next_rtx_seq() };
    let number = outlet.sent.next();
    let len = compose(subscription, outlet, packet, outgoing, (&form, number), out)?;
    if numbered {
        outlet.sent.record(outlet.at_us, len);
    }
    Ok(len)
}

/// Sends a packet that carries nothing but padding, as a retransmission of nothing (RFC 4588). Returns the datagram's length.
pub fn pad(subscription: &mut Subscription, outlet: &mut Outlet<'_>, out: &mut SendBatch) -> Result<usize, DropReason> {
    let (payload_type, ssrc, timestamp) = subscription.padding_stream().ok_or(DropReason::Padding)?;
    let index = subscription.next_rtx_seq();
    let fields = HeaderFields { marker: false, payload_type, seq: index.seq(), timestamp, ssrc };
    let number = outlet.sent.next().get().to_be_bytes();
    let mut elements: SmallVec<[(u8, &[u8]); 2]> = SmallVec::new();
    let mid = subscription.extension_id(HeaderExtension::Mid);
    if mid != 0 {
        elements.push((mid, subscription.mid.as_bytes()));
    }
    elements.push((subscription.extension_id(HeaderExtension::TransportCc), &number));
    let header_len = header_size(&elements);
    let len = header_len + PROBE_PADDING_LEN + outlet.srtp.rtp_overhead();
    let pushed = out.push_with(outlet.to, Priority::Normal, len, |buffer| {
        write_header(buffer, &fields, &elements);
        buffer[0] |= PADDING_BIT;
        let padding = &mut buffer[header_len..header_len + PROBE_PADDING_LEN];
        padding.fill(0);
        padding[PROBE_PADDING_LEN - 1] = PROBE_PADDING_LEN as u8;
        outlet.srtp.seal_rtp_in_place(ssrc, index, buffer, header_len).is_ok()
    });
    if !pushed {
        return Err(DropReason::QueueFull);
    }
    outlet.sent.record(outlet.at_us, len);
    Ok(len)
}

fn compose(
    subscription: &Subscription,
    outlet: &Outlet<'_>,
    packet: &Packet<'_>,
    outgoing: &Outgoing,
    (form, number): (&Form, SeqNo),
    out: &mut SendBatch,
) -> Result<usize, DropReason> {
    let shift = outgoing.sent.shift;
    let mut descriptor = [0; DEPENDENCY_DESCRIPTOR_LEN_MAX];
    let number = number.get().to_be_bytes();
    let elements = elements(subscription, packet, (shift, &number), &mut descriptor);
    let payload = match outgoing {
        Outgoing { blank: true, .. } => &[],
        outgoing if outgoing.mapping.strip_red => red::primary(packet.payload()).ok_or(DropReason::RtpMalformed)?.0,
        _ => packet.payload(),
    };
    let (payload_type, ssrc, index, osn_len) = match *form {
        Form::Original => (outgoing.mapping.to, subscription.ssrc, outgoing.sent.out, 0),
        Form::Retransmission { payload_type, ssrc, seq } => (payload_type, ssrc, seq, OSN_LEN),
    };
    let fields =
        HeaderFields { marker: outgoing.marker, payload_type, seq: index.seq(), timestamp: outgoing.timestamp, ssrc };
    let header_len = header_size(&elements);
    let padding_len = if outgoing.blank { BLANK_LEN } else { outgoing.padding_len };
    let zeros_and_count = padding(padding_len);
    let padding = &zeros_and_count[PADDING_LEN_MAX - padding_len..];
    let len = header_len + osn_len + payload.len() + padding.len() + outlet.srtp.rtp_overhead();
    if len > DATAGRAM_LEN_MAX {
        return Err(DropReason::TooLarge);
    }
    let priority = match outlet.kind {
        MediaKind::Audio => Priority::High,
        MediaKind::Video => Priority::Normal,
    };
    let rewritten = !outgoing.blank
        && touches_picture(shift)
        && matches!(packet.info.descriptor, Descriptor::Vp8(_) | Descriptor::Vp9(_));
    let pushed = out.push_with(outlet.to, priority, len, |buffer| {
        write_header(buffer, &fields, &elements);
        if !padding.is_empty() {
            buffer[0] |= PADDING_BIT;
        }
        if osn_len == 0 && !rewritten {
            return outlet.srtp.seal_padded_rtp_from(ssrc, index, buffer, header_len, (payload, padding)).is_ok();
        }
        let osn = outgoing.sent.out.seq().get().to_be_bytes();
        let (osn_at, body_at) = (header_len, header_len + osn_len);
        let padding_at = body_at + payload.len();
        buffer[osn_at..body_at].copy_from_slice(&osn[..osn_len]);
        buffer[body_at..padding_at].copy_from_slice(payload);
        buffer[padding_at..padding_at + padding.len()].copy_from_slice(padding);
        rewrite_descriptor(&mut buffer[body_at..padding_at], packet, shift);
        outlet.srtp.seal_rtp_in_place(ssrc, index, buffer, header_len).is_ok()
    });
    if pushed { Ok(len) } else { Err(DropReason::QueueFull) }
}

/// Padding of `len` bytes stands at the end: zeros, and the count that includes itself (RFC 3550 section 5.1).
fn padding(len: usize) -> [u8; PADDING_LEN_MAX] {
    let mut bytes = [0; PADDING_LEN_MAX];
    bytes[PADDING_LEN_MAX - 1] = len as u8;
    bytes
}

/// The header extension elements under the subscriber's ids: its MID, the transport-wide number, and what is passed on.
fn elements<'a>(
    subscription: &'a Subscription,
    packet: &'a Packet<'a>,
    (shift, number): (Shift, &'a [u8; 2]),
    descriptor: &'a mut [u8; DEPENDENCY_DESCRIPTOR_LEN_MAX],
) -> SmallVec<[(u8, &'a [u8]); 8]> {
    let mut elements = SmallVec::new();
    let mid = subscription.extension_id(HeaderExtension::Mid);
    if mid != 0 {
        elements.push((mid, subscription.mid.as_bytes()));
    }
    let transport_cc = subscription.extension_id(HeaderExtension::TransportCc);
    if transport_cc != 0 {
        elements.push((transport_cc, &number[..]));
    }
    let playout = subscription.playout_of(packet.info);
    if let Some(value) = playout {
        elements.push((subscription.extension_id(HeaderExtension::PlayoutDelay), &value[..]));
    }
    let mut copied = None;
    for (extension, value) in packet.extensions() {
        let id = subscription.extension_id(extension);
        if id == 0 || (extension == HeaderExtension::PlayoutDelay && playout.is_some()) {
            continue;
        }
        let moved = shift.picture != 0 && extension == HeaderExtension::DependencyDescriptor;
        if moved && value.len() <= DEPENDENCY_DESCRIPTOR_LEN_MAX {
            copied = Some((id, value));
        } else {
            elements.push((id, value));
        }
    }
    if let Some((id, value)) = copied {
        let copy = &mut descriptor[..value.len()];
        copy.copy_from_slice(value);
        av1::patch_frame_number(copy, packet.info.picture.id.unwrap_or(0).wrapping_add(shift.picture));
        elements.push((id, &*copy));
    }
    elements
}

fn rewrite_descriptor(body: &mut [u8], packet: &Packet<'_>, shift: Shift) {
    let id = packet.info.picture.id.unwrap_or(0).wrapping_add(shift.picture);
    let tl0 = packet.info.picture.tl0.unwrap_or(0).wrapping_add(shift.tl0);
    match &packet.info.descriptor {
        Descriptor::Vp8(descriptor) => vp8::patch(body, descriptor, id, tl0),
        Descriptor::Vp9(descriptor) => vp9::patch(body, descriptor, id),
        Descriptor::None | Descriptor::Av1 => {}
    }
}
