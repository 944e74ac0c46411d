//! Source descriptions (RFC 3550 section 6.5): only the CNAME is read.

use crate::ids::Ssrc;
use crate::wire::{WireError, u32_at};

pub(super) const CNAME: u8 = 1;

/// Chunks whose items all end within the packet.
#[derive(Clone, Copy, Debug)]
pub struct Sdes<'a> {
    /// At most 31: the count has five bits.
    chunks: u8,
    body: &'a [u8],
}

impl<'a> Sdes<'a> {
    pub(super) fn parse(chunks: u8, body: &'a [u8]) -> Result<Self, WireError> {
        let mut rest = body;
        for _ in 0..chunks {
            rest = chunk(rest).ok_or(WireError::Truncated)?.rest;
        }
        Ok(Self { chunks, body })
    }

    /// The CNAME of one source.
    pub fn cname(&self, ssrc: Ssrc) -> Option<&'a [u8]> {
        self.cnames().find(|(source, _)| *source == ssrc).map(|(_, cname)| cname)
    }

    /// Every source that gives its CNAME.
    pub fn cnames(&self) -> impl Iterator<Item = (Ssrc, &'a [u8])> + use<'a> {
        let mut rest = self.body;
        (0..self.chunks).filter_map(move |_| {
            let chunk = chunk(rest)?;
            rest = chunk.rest;
            Some((chunk.ssrc, chunk.cname?))
        })
    }
}

struct Chunk<'a> {
    ssrc: Ssrc,
    cname: Option<&'a [u8]>,
    rest: &'a [u8],
}

/// Reads one chunk: SSRC, items, and zeros up to the next word boundary, at least one.
fn chunk(bytes: &[u8]) -> Option<Chunk<'_>> {
    let ssrc = Ssrc::new(u32_at(bytes, 0)?);
    let mut cname = None;
    let mut at = 4;
    loop {
        let kind = *bytes.get(at)?;
        if kind == 0 {
            break;
        }
        let len = usize::from(*bytes.get(at + 1)?);
        let value = bytes.get(at + 2..at + 2 + len)?;
        if kind == CNAME && cname.is_none() {
            cname = Some(value);
        }
        at += 2 + len;
    }
    let rest = bytes.get((at + 1).next_multiple_of(4)..)?;
    Some(Chunk { ssrc, cname, rest })
}
