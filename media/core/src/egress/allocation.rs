//! Who gets how much of a subscriber's bandwidth: layers of video, by rank. Pure arithmetic over rates.
//!
//! Audio is taken off before; it is never left out. First everybody gets what their picture is worth nothing without, or else
//! the least there is of it, in the order of their ranks; then, rank by rank, those of one rank rise together, one rung at a
//! time, while the budget lasts. Who does not even get the least is stalled, and told so, rather than left with a picture that
//! freezes.

use crate::params::{Content, LayerLimit};
use smallvec::SmallVec;

/// Rungs of a track: four encodings, the lowest with four temporal layers.
const RUNGS_INLINE: usize = 8;
/// To rise, a subscription needs this much more than the rung measures, in percent: rates vary from second to second, and
/// falling back costs a keyframe.
const RISE_MARGIN_PERCENT: u64 = 110;
/// To stay where it is, it needs this much, in percent: congestion control answers a real shortage, noise is none.
const STAY_MARGIN_PERCENT: u64 = 92;
/// The same for a shared screen, which goes on in its size with as much, also where it becomes slower: the keyframe with which it
/// becomes smaller, or large again, is seconds of a narrow path, more than its pictures come late until the estimate is right.
const STAY_DETAIL_MARGIN_PERCENT: u64 = 75;
/// The same while it may wait, and for the least there is of it: what does not fit waits before the path, not in it, and who is
/// stalled begins again with a keyframe.
const WAITING_DETAIL_MARGIN_PERCENT: u64 = 30;
/// The same where it cannot become slower in its size: it comes late before it becomes smaller.
const SLOWEST_DETAIL_MARGIN_PERCENT: u64 = 0;
/// The same for the least there is of a camera: to wait a little is better than to pause.
const WAITING_LEAST_MARGIN_PERCENT: u64 = 70;
/// The same right after it rose: a larger picture begins with a keyframe, which fills a queue for a moment.
const SETTLING_MARGIN_PERCENT: u64 = 70;
/// The same where the path was not seen to be full of late: a rate that rises for a moment says nothing about the path, and the
/// estimate follows what arrives.
const FREE_MARGIN_PERCENT: u64 = 70;
/// The same for a shared screen: what it takes rises manifold when another page is shown, and until the estimate has followed the
/// path shows by a queue whether there is room.
const FREE_DETAIL_MARGIN_PERCENT: u64 = 30;

/// What could be forwarded of a track, and what it costs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rung {
    pub layers: LayerLimit,
    pub rate_bps: u64,
}

/// One subscription that wants bandwidth.
#[derive(Clone, Debug, Default)]
pub struct Candidate {
    /// 0 comes first.
    pub rank: u8,
    /// From the least to all that is wanted. Empty for a track that sends nothing.
    pub rungs: SmallVec<[Rung; RUNGS_INLINE]>,
    /// The rung that it has before those of later ranks have anything: of a shared screen, one that can be read.
    pub essential: usize,
    /// All that is wanted, in bits per second, also while nothing more is given.
    pub wanted_bps: u64,
    /// It rose a moment ago.
    pub is_settling: bool,
    /// The path was not seen to be full of late.
    pub is_free: bool,
    pub content: Content,
    /// What does not fit may wait before the path: the budget may be too low for a moment, or nothing waits there yet.
    pub may_wait: bool,
    /// So much of it waits before the path that nobody follows it any more: it goes on only where all of it fits.
    pub is_late: bool,
    /// What it takes beside its rung until what waits before the path has left, in bits per second.
    pub arrears_bps: u64,
    /// The rung it has now.
    pub current: Option<usize>,
}

impl Candidate {
    /// What it takes to be on a rung, in bits per second.
    fn cost(&self, rung: usize) -> u64 {
        let spatial = |rung: usize| self.rungs.get(rung).map(|rung| rung.layers.spatial);
        let is_slowest = || rung > 0 && spatial(rung - 1) != spatial(rung);
        let percent = match self.current {
            Some(current) if rung == current && self.is_free && self.content == Content::Detail => {
                FREE_DETAIL_MARGIN_PERCENT
            }
            Some(current) if rung == current && self.is_settling => SETTLING_MARGIN_PERCENT,
            Some(current)
                if rung <= current && self.content == Content::Detail && spatial(rung) == spatial(current) =>
            {
                if rung == 0 {
                    WAITING_DETAIL_MARGIN_PERCENT
                } else if self.is_late {
                    100
                } else if is_slowest() {
                    SLOWEST_DETAIL_MARGIN_PERCENT
                } else if self.may_wait {
                    WAITING_DETAIL_MARGIN_PERCENT
                } else {
                    STAY_DETAIL_MARGIN_PERCENT
                }
            }
            Some(current) if rung == 0 && rung <= current && self.may_wait => WAITING_LEAST_MARGIN_PERCENT,
            Some(current) if rung == current && self.is_free => FREE_MARGIN_PERCENT,
            Some(current) if rung == current => STAY_MARGIN_PERCENT,
            Some(current) if rung < current => 100,
            _ => RISE_MARGIN_PERCENT,
        };
        let cost = self.rungs.get(rung).map_or(0, |rung| rung.rate_bps * percent / 100);
        // Where there is room to stay, there is room for less.
        let above = self.current.filter(|current| rung < *current).map(|current| self.cost(current));
        above.map_or(cost, |above| cost.min(above))
    }

    /// What others do not get of the budget beside [`Self::cost`]: whoever goes on with less than a shared screen takes still
    /// sends all of it, and what waits before the path is to leave it first.
    fn reserve(&self, rung: usize) -> u64 {
        if self.content == Content::Motion || self.is_free {
            return 0;
        }
        let takes = self.rungs.get(rung).map_or(0, |rung| rung.rate_bps) + self.arrears_bps;
        takes.saturating_sub(self.cost(rung))
    }

    /// What it takes to get all that is wanted.
    pub fn needed_bps(&self) -> u64 {
        let percent = if self.is_short(self.current) { RISE_MARGIN_PERCENT } else { 100 };
        self.wanted_bps * percent / 100
    }

    /// Whether `given` is less than all that is wanted.
    pub fn is_short(&self, given: Option<usize>) -> bool {
        given.and_then(|rung| self.rungs.get(rung)).map_or(0, |rung| rung.rate_bps) < self.wanted_bps
    }
}

/// The rung of each candidate within `budget_bps` in total; `None` for who gets nothing.
pub fn allocate(budget_bps: u64, candidates: &[Candidate]) -> Vec<Option<usize>> {
    let mut left = budget_bps;
    let mut rungs = vec![None; candidates.len()];
    let mut order: Vec<usize> = (0..candidates.len()).filter(|&index| !candidates[index].rungs.is_empty()).collect();
    order.sort_by_key(|&index| candidates[index].rank);
    for &index in &order {
        let candidate = &candidates[index];
        let first = (0..=candidate.essential.min(candidate.rungs.len() - 1)).rev();
        let fits = |rung: usize| Some((left.checked_sub(candidate.cost(rung))?, rung));
        if let Some((rest, rung)) = first.filter_map(fits).next() {
            (left, rungs[index]) = (rest.saturating_sub(candidate.reserve(rung)), Some(rung));
        }
    }
    for group in order.chunk_by(|&a, &b| candidates[a].rank == candidates[b].rank) {
        while rise(group, candidates, &mut rungs, &mut left) {}
    }
    rungs
}

/// Each of a group rises by one rung, the lowest first, if there is room. `false` when nobody did.
fn rise(group: &[usize], candidates: &[Candidate], rungs: &mut [Option<usize>], left: &mut u64) -> bool {
    let mut order: SmallVec<[usize; 32]> = group.iter().copied().filter(|&index| rungs[index].is_some()).collect();
    order.sort_by_key(|&index| rungs[index].map_or(0, |rung| candidates[index].cost(rung)));
    let mut risen = false;
    for index in order {
        let (candidate, Some(rung)) = (&candidates[index], rungs[index]) else { continue };
        if rung + 1 >= candidate.rungs.len() {
            continue;
        }
        let step = candidate.cost(rung + 1).saturating_sub(candidate.cost(rung));
        if let Some(rest) = left.checked_sub(step) {
            (*left, rungs[index], risen) = (rest, Some(rung + 1), true);
        }
    }
    risen
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn candidate(rank: u8, rates_kbps: &[u64]) -> Candidate {
        let rung = |(spatial, kbps): (usize, &u64)| Rung {
            layers: LayerLimit { spatial: spatial as u8, temporal: u8::MAX },
            rate_bps: kbps * 1_000,
        };
        let rungs = rates_kbps.iter().enumerate().map(rung).collect();
        Candidate { rank, rungs, ..Candidate::default() }
    }

    #[test]
    fn a_share_keeps_its_picture_and_cameras_give_way() {
        let camera = candidate(2, &[100, 400, 1_200]);
        let all = [camera.clone(), candidate(0, &[300, 600]), camera.clone(), camera];
        assert_eq!(allocate(10_000_000, &all), [Some(2), Some(1), Some(2), Some(2)]);
        assert_eq!(allocate(1_050_000, &all), [Some(0), Some(1), Some(0), Some(0)]);
        assert_eq!(allocate(500_000, &all), [Some(0), Some(0), None, None]);
        assert_eq!(allocate(50_000, &all), [None; 4]);
    }

    #[test]
    fn what_a_screen_needs_to_be_read_comes_before_the_least_of_others() {
        let screen = Candidate { essential: 1, ..candidate(0, &[150, 300, 600]) };
        let camera = candidate(1, &[120]);
        let all = [camera.clone(), screen, camera];
        assert_eq!(allocate(1_000_000, &all), [Some(0), Some(2), Some(0)]);
        assert_eq!(allocate(600_000, &all), [Some(0), Some(1), Some(0)]);
        assert_eq!(allocate(350_000, &all), [None, Some(1), None]);
        assert_eq!(allocate(320_000, &all), [Some(0), Some(0), None], "less than that is no use, and leaves room");
    }

    #[test]
    fn a_screen_becomes_slower_rather_than_smaller_while_it_nearly_fits() {
        let rung =
            |spatial, temporal, kbps: u64| Rung { layers: LayerLimit { spatial, temporal }, rate_bps: kbps * 1_000 };
        let rungs = SmallVec::from_iter([rung(0, 9, 250), rung(1, 0, 300), rung(1, 1, 450), rung(1, 9, 700)]);
        let mut screen =
            Candidate { content: Content::Detail, essential: 3, current: Some(3), rungs, ..Default::default() };
        let given = |screen: &Candidate, kbps: u64| allocate(kbps * 1_000, std::slice::from_ref(screen));
        assert_eq!([given(&screen, 530), given(&screen, 400), given(&screen, 230)], [[Some(3)], [Some(2)], [Some(1)]]);
        assert_eq!(given(&screen, 50), [Some(1)], "slowest, it rather comes late");
        screen.is_late = true;
        assert_eq!([given(&screen, 710), given(&screen, 640), given(&screen, 260)], [[Some(3)], [Some(2)], [Some(0)]]);
        screen.is_late = false;
        screen.current = Some(0);
        assert_eq!([given(&screen, 320), given(&screen, 340), given(&screen, 500)], [[Some(0)], [Some(1)], [Some(2)]]);
    }

    #[test]
    fn a_screen_of_one_size_is_slow_before_it_is_stalled() {
        let mut screen = Candidate { content: Content::Detail, current: Some(0), ..candidate(0, &[500]) };
        let given = |screen: &Candidate, kbps: u64| allocate(kbps * 1_000, std::slice::from_ref(screen));
        assert_eq!([given(&screen, 160), given(&screen, 140)], [[Some(0)], [None]]);
        screen.current = None;
        assert_eq!([given(&screen, 540), given(&screen, 560)], [[None], [Some(0)]], "it begins where there is room");
    }

    #[test]
    fn on_a_path_that_was_never_full_a_screen_stays_as_it_is_while_the_estimate_follows() {
        let rung = |(spatial, temporal, kbps): (u8, u8, u64)| Rung {
            layers: LayerLimit { spatial, temporal },
            rate_bps: kbps * 1_000,
        };
        let rungs = [(0, 9, 300), (1, 0, 1_100), (1, 1, 1_700), (1, 9, 2_200)].map(rung).into_iter().collect();
        let screen = Candidate { content: Content::Detail, current: Some(3), rungs, ..Candidate::default() };
        // Two pages that change at once, and the estimate of what they took before.
        let given = |screen: &Candidate| allocate(2_700_000, &[screen.clone(), screen.clone()]);
        assert_eq!(given(&screen), [Some(3), Some(1)]);
        for is_settling in [false, true] {
            assert_eq!(given(&Candidate { is_free: true, is_settling, ..screen.clone() }), [Some(3); 2]);
        }
    }

    #[test]
    fn what_a_screen_sends_is_not_given_to_others_even_where_it_goes_on_with_less() {
        let screen = Candidate { content: Content::Detail, current: Some(0), ..candidate(0, &[700]) };
        let camera = Candidate { current: Some(0), ..candidate(1, &[120]) };
        let given = |kbps: u64, arrears_bps: u64| {
            let screen = Candidate { arrears_bps, ..screen.clone() };
            allocate(kbps * 1_000, &[camera.clone(), screen])
        };
        assert_eq!(given(600, 0), [None, Some(0)]);
        assert_eq!([given(820, 0), given(820, 100_000)], [[Some(0), Some(0)], [None, Some(0)]]);
    }

    #[test]
    fn the_least_of_a_camera_goes_on_while_it_may_wait() {
        let mut camera = Candidate { current: Some(1), may_wait: true, ..candidate(0, &[170, 400]) };
        let given = |camera: &Candidate, kbps: u64| allocate(kbps * 1_000, std::slice::from_ref(camera));
        assert_eq!([given(&camera, 150), given(&camera, 110)], [[Some(0)], [None]]);
        camera.may_wait = false;
        assert_eq!(given(&camera, 150), [None]);
    }

    #[test]
    fn equals_rise_together() {
        let all = vec![candidate(1, &[100, 400, 1_200]); 3];
        assert_eq!(allocate(1_400_000, &all), [Some(1); 3]);
        assert_eq!(allocate(1_000_000, &all).iter().filter(|rung| **rung == Some(1)).count(), 2);
    }

    #[test]
    fn who_is_on_a_rung_stays_there_where_who_is_not_would_not_rise() {
        let mut one = candidate(0, &[100, 400]);
        assert_eq!(allocate(400_000, std::slice::from_ref(&one)), [Some(0)]);
        one.current = Some(1);
        assert_eq!(allocate(400_000, std::slice::from_ref(&one)), [Some(1)]);
        assert_eq!(allocate(380_000, std::slice::from_ref(&one)), [Some(1)]);
        assert_eq!(allocate(300_000, std::slice::from_ref(&one)), [Some(0)]);
        one.is_free = true;
        assert_eq!(allocate(300_000, std::slice::from_ref(&one)), [Some(1)], "nothing says that the path is full");
        assert_eq!(allocate(270_000, std::slice::from_ref(&one)), [Some(0)]);
    }

    #[test]
    fn a_track_that_sends_nothing_takes_nothing() {
        assert_eq!(allocate(1_000_000, &[Candidate::default(), candidate(1, &[100])]), [None, Some(0)]);
    }

    proptest! {
        /// What is left out is worth a probe: else nothing would ever show that there is room for it.
        #[test]
        fn whoever_gets_less_than_all_needs_more_than_there_is(
            ladders in prop::collection::vec((prop::collection::vec(1_u64..2_000, 1..6), 0_usize..8), 1..8),
            budget_kbps in 0_u64..8_000,
        ) {
            let built = |(rates, current): &(Vec<u64>, usize)| {
                let mut rates = rates.clone();
                rates.sort_unstable();
                rates.dedup();
                let wanted_bps = rates.last().map_or(0, |kbps| kbps * 1_000);
                let current = Some(*current).filter(|current| *current < rates.len());
                Candidate { wanted_bps, current, ..candidate(0, &rates) }
            };
            let all: Vec<_> = ladders.iter().map(built).collect();
            let given = allocate(budget_kbps * 1_000, &all);
            let needed: u64 = all.iter().map(Candidate::needed_bps).sum();
            let is_short = given.iter().zip(&all).any(|(rung, one)| one.is_short(*rung));
            prop_assert!(!is_short || needed > budget_kbps * 1_000, "{given:?} {all:?}");
        }

        #[test]
        fn the_budget_is_kept_and_the_first_is_the_last_to_be_stalled(
            ladders in prop::collection::vec((1_u8..4, prop::collection::vec(1_u64..2_000, 0..6)), 1..8),
            budget_kbps in 0_u64..8_000,
        ) {
            let with_rank = |(index, (rank, rates)): (usize, &(u8, Vec<u64>))| {
                let mut rates = rates.clone();
                rates.sort_unstable();
                candidate(if index == 0 { 0 } else { *rank }, &rates)
            };
            let all: Vec<_> = ladders.iter().enumerate().map(with_rank).collect();
            let given = allocate(budget_kbps * 1_000, &all);
            let spent = |given: &[Option<usize>]| -> u64 {
                given.iter().zip(&all).filter_map(|(rung, one)| Some(one.rungs[(*rung)?].rate_bps)).sum()
            };
            prop_assert!(spent(&given) <= budget_kbps * 1_000);
            let fits = all[0].rungs.first().is_some_and(|_| all[0].cost(0) <= budget_kbps * 1_000);
            prop_assert_eq!(given[0].is_some(), fits);
        }
    }
}
