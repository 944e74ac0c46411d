//! Which protocol a datagram belongs to, from its first two bytes (RFC 7983, RFC 5761). Looks no further.

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Protocol {
    Stun,
    Dtls,
    Rtp,
    Rtcp,
}

/// `None` for what is too short to tell, and for the ranges that RFC 7983 gives to protocols that we do not speak.
pub fn demultiplex(datagram: &[u8]) -> Option<Protocol> {
    let &[first, second, ..] = datagram else { return None };
    match first {
        0..=3 => Some(Protocol::Stun),
        20..=63 => Some(Protocol::Dtls),
        // RFC 5761 section 4: RTCP packet types 192 to 223 stand where RTP has the marker bit and a payload type of
        // 64 to 95, which nobody may use with multiplexing.
        128..=191 if (192..=223).contains(&second) => Some(Protocol::Rtcp),
        128..=191 => Some(Protocol::Rtp),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_first_byte_has_the_protocol_that_rfc_7983_gives_it() {
        for first in 0..=u8::MAX {
            let want = match first {
                0..=3 => Some(Protocol::Stun),
                20..=63 => Some(Protocol::Dtls),
                128..=191 => Some(Protocol::Rtp),
                _ => None,
            };
            assert_eq!(demultiplex(&[first, 111]), want, "first byte {first}");
        }
    }

    #[test]
    fn rtcp_is_told_from_rtp_by_the_packet_type() {
        for second in 0..=u8::MAX {
            let want = if (192..=223).contains(&second) { Protocol::Rtcp } else { Protocol::Rtp };
            assert_eq!(demultiplex(&[0x80, second]), Some(want));
        }
    }

    #[test]
    fn too_short_datagrams_are_nobodys() {
        assert_eq!(demultiplex(&[]), None);
        assert_eq!(demultiplex(&[0x80]), None);
    }
}
