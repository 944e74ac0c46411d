//! The Data Channel Establishment Protocol (RFC 8832 section 5). Knows nothing of streams.

use crate::control::Reliability;
use bytes::{BufMut, Bytes, BytesMut};

const OPEN: u8 = 0x03;
const ACK: u8 = 0x02;
const OPEN_HEADER_LEN: usize = 12;
/// RFC 8832 section 8.2.2: the bit that makes a channel type unordered.
const UNORDERED: u8 = 0x80;
const PARTIAL_REXMIT: u8 = 0x01;
const PARTIAL_TIMED: u8 = 0x02;
/// RFC 8831 section 6.4: "normal".
const PRIORITY: u16 = 256;
/// Longest label, in bytes. The protocol allows 65,535; the SDKs' labels have at most eleven.
pub(super) const LABEL_LEN_MAX: usize = 256;

/// How hard SCTP tries, in the terms of the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Retransmission {
    Always,
    /// At most so many times.
    Times(u32),
    /// For so many milliseconds.
    ForMs(u32),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ChannelType {
    pub unordered: bool,
    pub retransmission: Retransmission,
}

impl From<Reliability> for ChannelType {
    fn from(reliability: Reliability) -> Self {
        match reliability {
            Reliability::Reliable => Self { unordered: false, retransmission: Retransmission::Always },
            Reliability::Lossy => Self { unordered: true, retransmission: Retransmission::Times(0) },
        }
    }
}

impl ChannelType {
    /// What the control side is told: any channel that may give up on a message counts as lossy.
    pub(super) fn reliability(self) -> Reliability {
        match self.retransmission {
            Retransmission::Always => Reliability::Reliable,
            Retransmission::Times(_) | Retransmission::ForMs(_) => Reliability::Lossy,
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Message {
    Open { channel_type: ChannelType, label: String },
    Ack,
}

impl Message {
    /// `None` for what is malformed, of an unknown type, or has a label that we do not accept.
    pub(super) fn parse(payload: &[u8]) -> Option<Self> {
        match *payload.first()? {
            ACK => Some(Self::Ack),
            OPEN => {
                let header = payload.get(..OPEN_HEADER_LEN)?;
                let parameter = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
                let label_len = usize::from(u16::from_be_bytes([header[8], header[9]]));
                let protocol_len = usize::from(u16::from_be_bytes([header[10], header[11]]));
                let retransmission = match header[1] & !UNORDERED {
                    0 => Retransmission::Always,
                    PARTIAL_REXMIT => Retransmission::Times(parameter),
                    PARTIAL_TIMED => Retransmission::ForMs(parameter),
                    _ => return None,
                };
                if label_len > LABEL_LEN_MAX || payload.len() != OPEN_HEADER_LEN + label_len + protocol_len {
                    return None;
                }
                let label = std::str::from_utf8(payload.get(OPEN_HEADER_LEN..OPEN_HEADER_LEN + label_len)?).ok()?;
                let channel_type = ChannelType { unordered: header[1] & UNORDERED != 0, retransmission };
                Some(Self::Open { channel_type, label: label.to_owned() })
            }
            _ => None,
        }
    }

    /// A label longer than [`LABEL_LEN_MAX`] must not get here.
    pub(super) fn to_bytes(&self) -> Bytes {
        let Self::Open { channel_type, label } = self else { return Bytes::from_static(&[ACK]) };
        let (kind, parameter) = match channel_type.retransmission {
            Retransmission::Always => (0, 0),
            Retransmission::Times(times) => (PARTIAL_REXMIT, times),
            Retransmission::ForMs(ms) => (PARTIAL_TIMED, ms),
        };
        let mut out = BytesMut::with_capacity(OPEN_HEADER_LEN + label.len());
        out.put_u8(OPEN);
        out.put_u8(if channel_type.unordered { kind | UNORDERED } else { kind });
        out.put_u16(PRIORITY);
        out.put_u32(parameter);
        out.put_u16(label.len() as u16);
        out.put_u16(0);
        out.put_slice(label.as_bytes());
        out.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rtc::datachannel::message::Message as TheirMessage;
    use rtc::shared::marshal::{Marshal, Unmarshal};

    fn open(unordered: bool, retransmission: Retransmission) -> Message {
        Message::Open { channel_type: ChannelType { unordered, retransmission }, label: "_lossy".to_owned() }
    }

    #[test]
    fn every_channel_type_survives_the_wire_and_reads_the_same_to_another_implementation() {
        for unordered in [false, true] {
            for retransmission in [Retransmission::Always, Retransmission::Times(3), Retransmission::ForMs(70)] {
                let message = open(unordered, retransmission);
                let bytes = message.to_bytes();
                assert_eq!(Message::parse(&bytes), Some(message));
                let theirs = TheirMessage::unmarshal(&mut bytes.clone()).unwrap();
                assert_eq!(theirs.marshal().unwrap(), bytes);
            }
        }
        assert_eq!(Message::parse(&Message::Ack.to_bytes()), Some(Message::Ack));
    }

    #[test]
    fn only_a_channel_that_never_gives_up_is_reliable() {
        let check = |unordered, retransmission, want| {
            assert_eq!(ChannelType { unordered, retransmission }.reliability(), want);
        };
        check(false, Retransmission::Always, Reliability::Reliable);
        check(true, Retransmission::Always, Reliability::Reliable);
        check(true, Retransmission::Times(0), Reliability::Lossy);
        check(false, Retransmission::Times(4), Reliability::Lossy);
        check(true, Retransmission::ForMs(10), Reliability::Lossy);
    }

    #[test]
    fn wrong_lengths_long_labels_and_broken_text_are_refused() {
        let good = open(true, Retransmission::Always).to_bytes();
        assert_eq!(Message::parse(&good[..good.len() - 1]), None);
        assert_eq!(Message::parse(&[&good[..], b"x"].concat()), None);
        let mut broken = good.to_vec();
        broken[OPEN_HEADER_LEN] = 0xff;
        assert_eq!(Message::parse(&broken), None);
        let long = Message::Open { channel_type: Reliability::Reliable.into(), label: "x".repeat(LABEL_LEN_MAX + 1) };
        assert_eq!(Message::parse(&long.to_bytes()), None);
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..64), open: bool) {
            if open && let Some(first) = bytes.first_mut() {
                *first = OPEN;
            }
            let _ = Message::parse(&bytes);
        }
    }
}
