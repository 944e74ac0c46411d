//! The floor under every forwarded packet: one AES-128-GCM seal from a shared plaintext into the send buffer, with a key per
//! subscriber, and nothing else.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;

/// Of AES-GCM.
pub const TAG_LEN: usize = 16;
const NONCE_LEN: usize = 12;

/// One key per subscriber.
pub fn keys(subscribers: usize) -> Result<Vec<LessSafeKey>, Unspecified> {
    let key = |index: usize| {
        let mut bytes = [7; 16];
        bytes[..8].copy_from_slice(&(index as u64).to_be_bytes());
        UnboundKey::new(&AES_128_GCM, &bytes).map(LessSafeKey::new)
    };
    (0..subscribers).map(key).collect()
}

/// Seals `payload` behind `header_len` bytes of associated data into `out`, which has exactly the room. `count` is the nonce.
#[inline]
pub fn seal_into(
    key: &LessSafeKey,
    count: u64,
    header_len: usize,
    payload: &[u8],
    out: &mut [u8],
) -> Result<(), Unspecified> {
    let mut nonce = [0; NONCE_LEN];
    nonce[4..].copy_from_slice(&count.to_be_bytes());
    let (header, rest) = out.split_at_mut_checked(header_len).ok_or(Unspecified)?;
    let (body, tag) = rest.split_at_mut_checked(payload.len()).ok_or(Unspecified)?;
    header[2..4].copy_from_slice(&(count as u16).to_be_bytes());
    let nonce = Nonce::assume_unique_for_key(nonce);
    key.seal_out_of_place_scatter(nonce, Aad::from(&*header), payload, body, &[], tag)
}

pub struct BareSeal {
    keys: Vec<LessSafeKey>,
    payload: Vec<u8>,
    /// One place per subscriber and packet of a burst, as in the send batch.
    arena: Vec<u8>,
    header_len: usize,
    burst: usize,
    count: u64,
}

impl BareSeal {
    /// Seals `payload_len` bytes behind `header_len` bytes of associated data, for `subscribers` keys, `burst` packets each
    /// before the buffer is used again.
    pub fn new(subscribers: usize, burst: usize, header_len: usize, payload_len: usize) -> Result<Self, Unspecified> {
        let packet_len = header_len + payload_len + TAG_LEN;
        Ok(Self {
            keys: keys(subscribers)?,
            payload: vec![9; payload_len],
            arena: vec![0; packet_len * subscribers * burst],
            header_len,
            burst,
            count: 0,
        })
    }

    /// Seals one burst for every subscriber, in the order in which a burst is forwarded. Returns how many packets.
    pub fn run(&mut self) -> Result<u64, Unspecified> {
        let packet_len = self.header_len + self.payload.len() + TAG_LEN;
        let mut sealed = 0;
        for packet in 0..self.burst {
            self.count += 1;
            for (subscriber, key) in self.keys.iter().enumerate() {
                let start = (subscriber * self.burst + packet) * packet_len;
                let out = &mut self.arena[start..start + packet_len];
                seal_into(key, self.count, self.header_len, &self.payload, out)?;
                sealed += 1;
            }
        }
        Ok(sealed)
    }
}
