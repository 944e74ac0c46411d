//! A replay window over packet indices (RFC 3711 section 3.3.2). Knows nothing of packets or keys.

use super::SrtpError;

/// A ring of bits, cleared a word at a time as the highest index moves on (the scheme of RFC 6479). One word is always partly
/// ahead of the highest index, so the window spans `WORDS - 1` words.
pub(crate) struct ReplayWindow<const WORDS: usize> {
    highest: u64,
    bits: [u64; WORDS],
}

impl<const WORDS: usize> ReplayWindow<WORDS> {
    /// Indices that the window reaches back.
    pub(crate) const SPAN: u64 = (WORDS as u64 - 1) * 64;

    /// The window of a stream whose first accepted index is `first`.
    pub(crate) fn starting_at(first: u64) -> Self {
        let mut window = Self { highest: first, bits: [0; WORDS] };
        window.mark(first);
        window
    }

    pub(super) fn highest(&self) -> u64 {
        self.highest
    }

    pub(crate) fn check(&self, index: u64) -> Result<(), SrtpError> {
        if index > self.highest {
            Ok(())
        } else if self.highest - index >= Self::SPAN {
            Err(SrtpError::TooOld)
        } else if self.bits[Self::word(index)] & Self::bit(index) != 0 {
            Err(SrtpError::Replay)
        } else {
            Ok(())
        }
    }

    /// Only for an index that passed [`Self::check`] and whose packet is authentic.
    pub(crate) fn accept(&mut self, index: u64) {
        if index > self.highest {
            let skipped_words = (index / 64 - self.highest / 64).min(WORDS as u64);
            for ahead in 1..=skipped_words {
                self.bits[Self::word(self.highest + 64 * ahead)] = 0;
            }
            self.highest = index;
        }
        self.mark(index);
    }

    fn mark(&mut self, index: u64) {
        self.bits[Self::word(index)] |= Self::bit(index);
    }

    fn word(index: u64) -> usize {
        (index / 64 % WORDS as u64) as usize
    }

    fn bit(index: u64) -> u64 {
        1 << (index % 64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    type Window = ReplayWindow<4>;

    #[test]
    fn a_late_index_is_taken_once_within_the_span_and_never_below_it() {
        let mut window = Window::starting_at(1_000);
        let oldest = 1_000 - Window::SPAN + 1;
        assert_eq!(window.check(oldest), Ok(()));
        window.accept(oldest);
        assert_eq!(window.check(oldest), Err(SrtpError::Replay));
        assert_eq!(window.check(oldest - 1), Err(SrtpError::TooOld));
        assert_eq!(window.check(1_000), Err(SrtpError::Replay));
    }

    #[test]
    fn a_jump_of_any_size_leaves_no_stale_marks() {
        for jump in [1, 63, 64, 65, 191, 192, 255, 256, 257, 1 << 20] {
            let mut window = Window::starting_at(0);
            (1..=300).for_each(|index| window.accept(index));
            let next = 300 + jump;
            window.accept(next);
            for index in (next.saturating_sub(Window::SPAN - 1)).max(301)..next {
                assert_eq!(window.check(index), Ok(()), "jump {jump}, index {index}");
            }
        }
    }

    proptest! {
        #[test]
        fn the_window_agrees_with_a_set(start in 0_u64..500, steps in prop::collection::vec(-250_i64..300, 1..400)) {
            let mut window = Window::starting_at(start);
            let mut seen = BTreeSet::from([start]);
            for step in steps {
                let index = window.highest().saturating_add_signed(step);
                let highest = seen.last().copied().unwrap_or_default();
                let want = if index + Window::SPAN <= highest {
                    Err(SrtpError::TooOld)
                } else if seen.contains(&index) {
                    Err(SrtpError::Replay)
                } else {
                    Ok(())
                };
                prop_assert_eq!(window.check(index), want);
                if want.is_ok() {
                    window.accept(index);
                    seen.insert(index);
                }
            }
        }
    }
}
