//! Datagrams that nobody should send: what an attacker, a broken client or a port scanner would throw at a media port.

use crate::random::Random;

/// Longest datagram made: more than the core handles.
const DATAGRAM_LEN_MAX: usize = 2_500;
const STUN_COOKIE: [u8; 4] = 0x2112_a442_u32.to_be_bytes();

/// What a datagram pretends to be.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// Random bytes of random length, none included.
    Noise,
    /// Random bytes behind a first byte of one of RFC 7983's protocols.
    Disguised,
    /// A well-formed check of an unknown user, or with a wrong integrity.
    ForgedStun,
    /// A DTLS record with a plausible header and a random body.
    ForgedDtls,
    /// RTP of a random stream.
    ForgedRtp,
    ForgedRtcp,
    /// A captured datagram, sent again.
    Replayed,
    /// A captured datagram with one bit turned.
    BitFlipped,
    /// A captured datagram, cut off.
    Truncated,
}

impl Kind {
    pub const ALL: [Self; 9] = [
        Self::Noise,
        Self::Disguised,
        Self::ForgedStun,
        Self::ForgedDtls,
        Self::ForgedRtp,
        Self::ForgedRtcp,
        Self::Replayed,
        Self::BitFlipped,
        Self::Truncated,
    ];
}

/// An endless, seeded attack.
pub struct Abuse {
    random: Random,
    /// Datagrams that were really sent; without any, the kinds that need one become noise.
    captured: Vec<Vec<u8>>,
    /// User fragments that an attacker may know.
    known_users: Vec<String>,
}

impl Abuse {
    pub fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), captured: Vec::new(), known_users: Vec::new() }
    }

    pub fn with_captured(mut self, datagrams: Vec<Vec<u8>>) -> Self {
        self.captured = datagrams;
        self
    }

    /// `ufrag:ufrag`, as in USERNAME.
    pub fn with_known_users(mut self, users: Vec<String>) -> Self {
        self.known_users = users;
        self
    }

    pub fn next_datagram(&mut self) -> (Kind, Vec<u8>) {
        let kind = Kind::ALL[self.random.below(Kind::ALL.len())];
        let datagram = match kind {
            Kind::Noise => self.noise(),
            Kind::Disguised => self.disguised(),
            Kind::ForgedStun => self.forged_stun(),
            Kind::ForgedDtls => self.forged_dtls(),
            Kind::ForgedRtp => self.forged_rtp(),
            Kind::ForgedRtcp => self.forged_rtcp(),
            Kind::Replayed => self.captured_datagram(),
            Kind::BitFlipped => self.bit_flipped(),
            Kind::Truncated => self.truncated(),
        };
        (kind, datagram)
    }

    fn noise(&mut self) -> Vec<u8> {
        let len = self.random.below(DATAGRAM_LEN_MAX + 1);
        self.random.bytes(len)
    }

    fn disguised(&mut self) -> Vec<u8> {
        let mut datagram = self.noise();
        let first = [0, 1, 20, 22, 23, 63, 64, 79, 128, 144, 191, 255][self.random.below(12)];
        if let Some(byte) = datagram.first_mut() {
            *byte = first;
        }
        datagram
    }

    fn forged_stun(&mut self) -> Vec<u8> {
        let user = match self.known_users.len() {
            0 => format!("{}:{}", self.random.letters(8), self.random.letters(8)),
            users => self.known_users[self.random.below(users)].clone(),
        };
        let mut attributes = Vec::new();
        push_attribute(&mut attributes, 0x0006, user.as_bytes());
        push_attribute(&mut attributes, 0x0024, &self.random.bytes(4));
        push_attribute(&mut attributes, 0x802a, &self.random.bytes(8));
        push_attribute(&mut attributes, 0x0025, &[]);
        if self.random.below(4) > 0 {
            push_attribute(&mut attributes, 0x0008, &self.random.bytes(20));
        }
        // Request, indication, success, error and an unknown method.
        let class: u16 = [0x0001, 0x0001, 0x0001, 0x0011, 0x0101, 0x0111, 0x0003][self.random.below(7)];
        let mut datagram = class.to_be_bytes().to_vec();
        datagram.extend((attributes.len() as u16).to_be_bytes());
        datagram.extend(STUN_COOKIE);
        datagram.extend(self.random.bytes(12));
        datagram.extend(attributes);
        datagram
    }

    fn forged_dtls(&mut self) -> Vec<u8> {
        let body_len = self.random.below(1_200);
        let content = [20, 21, 22, 23, 25][self.random.below(5)];
        let mut datagram = vec![content, 0xfe, 0xfd, 0, self.random.below(2) as u8];
        datagram.extend(self.random.bytes(6));
        datagram.extend((body_len as u16).to_be_bytes());
        datagram.extend(self.random.bytes(body_len));
        datagram
    }

    fn forged_rtp(&mut self) -> Vec<u8> {
        let len = 12 + self.random.below(1_188);
        let mut datagram = self.random.bytes(len);
        datagram[0] = 0x80 | (datagram[0] & 0x3f);
        datagram[1] = 96 + (datagram[1] & 0x1f);
        datagram
    }

    fn forged_rtcp(&mut self) -> Vec<u8> {
        let len = 8 + self.random.below(1_192);
        let mut datagram = self.random.bytes(len);
        datagram[0] = 0x80 | (datagram[0] & 0x1f);
        datagram[1] = 200 + (datagram[1] % 8);
        datagram
    }

    fn captured_datagram(&mut self) -> Vec<u8> {
        match self.captured.len() {
            0 => self.noise(),
            captured => self.captured[self.random.below(captured)].clone(),
        }
    }

    fn bit_flipped(&mut self) -> Vec<u8> {
        let mut datagram = self.captured_datagram();
        if !datagram.is_empty() {
            let at = self.random.below(datagram.len());
            datagram[at] ^= 1 << self.random.below(8);
        }
        datagram
    }

    fn truncated(&mut self) -> Vec<u8> {
        let mut datagram = self.captured_datagram();
        datagram.truncate(self.random.below(datagram.len() + 1));
        datagram
    }
}

/// Type, length, value, padding (RFC 8489 section 14).
fn push_attribute(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    out.extend(kind.to_be_bytes());
    out.extend((value.len() as u16).to_be_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_seed_names_an_attack() {
        let run = |seed| {
            let mut abuse = Abuse::new(seed);
            (0..50).map(|_| abuse.next_datagram().1).collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn every_kind_occurs_and_nothing_is_longer_than_a_datagram_can_be() {
        let mut abuse = Abuse::new(3).with_captured(vec![vec![128; 1_200]]);
        let datagrams: Vec<_> = (0..2_000).map(|_| abuse.next_datagram()).collect();
        assert!(datagrams.iter().all(|(_, datagram)| datagram.len() <= DATAGRAM_LEN_MAX));
        assert_eq!(datagrams.iter().map(|(kind, _)| *kind).collect::<HashSet<_>>().len(), Kind::ALL.len());
    }
}
