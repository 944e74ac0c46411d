//! The names that the control side gives to things, and the clocks and counters of RTP.
//!
//! Control-side ids are chosen by the caller and never reused while the process lives. Inside the core they are resolved
//! once, on the control path, to dense generational slots; packets never carry them.

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub struct $name(u64);

        impl $name {
            pub const fn new(value: u64) -> Self {
                Self(value)
            }

            pub const fn get(self) -> u64 {
                self.0
            }
        }
    };
}

id!(
    /// A room: the set of peers that may receive one another's tracks. Lives on one worker.
    RoomId
);
id!(
    /// One peer connection (RFC 8829). A participant has one, or two where the client splits publishing and subscribing.
    PeerId
);
id!(
    /// One published track: what a publisher sends on one m-section, with all its simulcast encodings.
    TrackId
);
id!(
    /// One track going to one peer.
    SubscriptionId
);

/// RTP synchronisation source (RFC 3550 section 3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Ssrc(u32);

impl Ssrc {
    pub const fn new(value: u32) -> Self {
        Self(value)
    }

    pub const fn get(self) -> u32 {
        self.0
    }
}

/// RTP payload type, 0 to 127.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PayloadType(u8);

impl PayloadType {
    /// `None` above 127, where the marker bit would be.
    pub const fn new(value: u8) -> Option<Self> {
        if value < 128 { Some(Self(value)) } else { None }
    }

    /// Takes the low seven bits of the second header byte.
    pub const fn from_wire(byte: u8) -> Self {
        Self(byte & 0x7f)
    }

    pub const fn get(self) -> u8 {
        self.0
    }
}

/// A sequence number as it stands in the packet. It wraps, so it has no order: extend it first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SeqNo(u16);

impl SeqNo {
    pub const fn new(value: u16) -> Self {
        Self(value)
    }

    pub const fn get(self) -> u16 {
        self.0
    }
}

/// A sequence number with its roll-over count: `roll_over << 16 | sequence`, the packet index of RFC 3711 section 3.3.1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct ExtSeqNo(u64);

impl ExtSeqNo {
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    pub const fn get(self) -> u64 {
        self.0
    }

    pub const fn seq(self) -> SeqNo {
        SeqNo(self.0 as u16)
    }

    pub const fn roll_over(self) -> u32 {
        (self.0 >> 16) as u32
    }

    /// The extended number nearest to `self` that ends in `seq` (RFC 3711 appendix A). Saturates at zero: before the first
    /// wrap a number "below" the start is taken as ahead of it.
    pub const fn nearest(self, seq: SeqNo) -> Self {
        let delta = seq.0.wrapping_sub(self.0 as u16) as i16 as i64;
        let value = self.0 as i64 + delta;
        if value < 0 { Self(value.wrapping_add(1 << 16) as u64) } else { Self(value as u64) }
    }
}

/// An RTP timestamp in units of the codec's clock rate. It wraps.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RtpTime(u32);

impl RtpTime {
    pub const fn new(value: u32) -> Self {
        Self(value)
    }

    pub const fn get(self) -> u32 {
        self.0
    }

    pub const fn wrapping_add(self, ticks: u32) -> Self {
        Self(self.0.wrapping_add(ticks))
    }

    /// Ticks from `earlier` to `self`, negative when `self` is older.
    pub const fn since(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0) as i32
    }
}

/// The longest MID or RID that is accepted. RFC 8852 allows more; browsers send one to three characters.
pub const TOKEN_LEN_MAX: usize = 16;

macro_rules! token {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name {
            bytes: [u8; TOKEN_LEN_MAX],
            len: u8,
        }

        impl $name {
            /// `None` when empty, longer than [`TOKEN_LEN_MAX`], or not made of RFC 8866 token characters.
            pub fn new(value: &[u8]) -> Option<Self> {
                let legal = |b: &u8| b.is_ascii_alphanumeric() || b"-_.!#$%&'*+^`{|}~".contains(b);
                if value.is_empty() || value.len() > TOKEN_LEN_MAX || !value.iter().all(legal) {
                    return None;
                }
                let mut bytes = [0; TOKEN_LEN_MAX];
                bytes[..value.len()].copy_from_slice(value);
                Some(Self { bytes, len: value.len() as u8 })
            }

            pub fn as_bytes(&self) -> &[u8] {
                &self.bytes[..usize::from(self.len)]
            }

            pub fn as_str(&self) -> &str {
                // Token characters are ASCII, checked by `new`.
                std::str::from_utf8(self.as_bytes()).unwrap_or_default()
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({})", stringify!($name), self.as_str())
            }
        }
    };
}

token!(
    /// Media identification of an m-section (RFC 8843 section 15).
    Mid
);
token!(
    /// RTP stream id of a simulcast encoding (RFC 8851).
    Rid
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_extends_across_the_wrap_in_both_directions() {
        let check = |from: u64, seq: u16, want: u64| {
            assert_eq!(ExtSeqNo::new(from).nearest(SeqNo::new(seq)).get(), want);
        };
        check(0x1_fffe, 2, 0x2_0002);
        check(0x2_0002, 0xfffe, 0x1_fffe);
        check(10, 12, 12);
        check(10, 8, 8);
        check(2, 0xffff, 0xffff);
    }

    #[test]
    fn tokens_refuse_what_sdp_could_not_carry() {
        assert_eq!(Mid::new(b"audio-0").map(|m| m.as_str().to_owned()), Some("audio-0".to_owned()));
        assert!(Mid::new(b"").is_none());
        assert!(Mid::new(b"a b").is_none());
        assert!(Mid::new(&[b'x'; 17]).is_none());
    }
}
