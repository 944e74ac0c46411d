//! The replay windows of one peer's SSRCs. Knows nothing of packets or keys; who calls [`Streams::accept`] vouches for
//! authenticity.

use super::SrtpError;
use super::replay::ReplayWindow;
use crate::ids::Ssrc;
use crate::limits::STREAMS_PER_PEER_MAX;

/// An SSRC's place. It stays valid: streams are never removed.
#[derive(Clone, Copy)]
pub(super) enum Slot {
    Known(usize),
    /// Not seen yet, and there is room.
    New,
}

/// A scan over consecutive words, newest first, finds a living stream within a few cache lines, cannot be attacked through a
/// hash and is rarely needed: most packets follow one of the same stream.
pub(super) struct Streams<const WORDS: usize> {
    ssrcs: Vec<Ssrc>,
    windows: Vec<ReplayWindow<WORDS>>,
    last_hit: usize,
}

impl<const WORDS: usize> Streams<WORDS> {
    pub(super) fn new() -> Self {
        Self { ssrcs: Vec::new(), windows: Vec::new(), last_hit: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.ssrcs.len()
    }

    /// `TooManyStreams` when the SSRC is unknown and there is no room for it, before any crypto is spent on it.
    pub(super) fn find(&mut self, ssrc: Ssrc) -> Result<Slot, SrtpError> {
        if self.ssrcs.get(self.last_hit) == Some(&ssrc) {
            return Ok(Slot::Known(self.last_hit));
        }
        if let Some(at) = self.ssrcs.iter().rposition(|&known| known == ssrc) {
            self.last_hit = at;
            return Ok(Slot::Known(at));
        }
        if self.ssrcs.len() >= STREAMS_PER_PEER_MAX { Err(SrtpError::TooManyStreams) } else { Ok(Slot::New) }
    }

    /// `None` for a new stream.
    pub(super) fn window(&self, slot: Slot) -> Option<&ReplayWindow<WORDS>> {
        match slot {
            Slot::Known(at) => self.windows.get(at),
            Slot::New => None,
        }
    }

    /// Only after authentication. `slot` is what [`Self::find`] said of `ssrc`, `index` passed the window's check.
    pub(super) fn accept(&mut self, slot: Slot, ssrc: Ssrc, index: u64) {
        match slot {
            Slot::Known(at) => {
                if let Some(window) = self.windows.get_mut(at) {
                    window.accept(index);
                }
            }
            Slot::New => {
                self.last_hit = self.ssrcs.len();
                self.ssrcs.push(ssrc);
                self.windows.push(ReplayWindow::starting_at(index));
            }
        }
    }
}
