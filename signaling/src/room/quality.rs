//! How well each participant is connected, as everybody is told: from loss, delay and signs of life, never guessed.
//!
//! The SDKs show "lost" as a participant that is reconnecting, and one that is told so of itself for ten seconds while it
//! publishes joins anew. So a participant is lost only when nothing is heard of it for longer than a healthy one can be
//! silent. Of one whose session alone is gone, the others are told, and it learns nothing: its media still flows.

use super::participant::{Participant, ParticipantKey};
use super::peer::PeerState;
use super::{Effect, Now, Room};
use consilium_media_core::control::PeerFigures;
use consilium_media_core::ids::PeerId;
use consilium_media_core::params::MediaKind;
use livekit_protocol::signal_response::Message;
use livekit_protocol::{ConnectionQuality, ConnectionQualityInfo, ConnectionQualityUpdate};
use std::time::{Duration, Instant};

/// Silence of somebody who was just sending. A microphone that is on sends a packet every 400 ms at least (discontinuous
/// transmission of Opus), and Chromium checks its connection every 2.5 s without one.
const SENDER_SILENT: Duration = Duration::from_secs(4);
/// Silence of anybody else. Firefox sends a check every 6 s at most (RFC 7675 section 5.1), and one may be lost.
const OTHER_SILENT: Duration = Duration::from_secs(13);
/// Somebody who sent within this time before falling silent was sending: what figures tell of is a second old at most, and
/// one of them may be missing.
const SENDING_WITHIN: Duration = Duration::from_secs(3);
/// A session that is away for less is a page that moves on to another network, and not worth a word.
const SESSION_AWAY: Duration = Duration::from_secs(1);
/// A level is told when it has held for so many figures: three seconds.
const HELD: u8 = 3;
/// Weight of a new figure in the running mean, which so remembers about four seconds.
const MEAN_WEIGHT: f32 = 0.3;

/// What is known of one participant's connection.
pub(super) struct Quality {
    loss: f32,
    rtt: Duration,
    /// When packets that it publishes were last due.
    sent_at: Option<Instant>,
    /// Its media path is silent for too long.
    path_lost: bool,
    /// Since when it has no session.
    pub(super) away_since: Option<Instant>,
    /// What the present figures amount to, and for how many of them.
    present: (ConnectionQuality, u8),
    /// What the participant itself and the others were told last.
    told: Option<(ConnectionQuality, ConnectionQuality)>,
}

impl Default for Quality {
    fn default() -> Self {
        Self {
            loss: 0.0,
            rtt: Duration::ZERO,
            sent_at: None,
            path_lost: false,
            away_since: None,
            present: (ConnectionQuality::Excellent, 0),
            told: None,
        }
    }
}

impl Quality {
    /// Takes one participant's figures in, one entry for each of its connections. `sender_silent` is how long the one on
    /// which it publishes can be silent in the midst of sending.
    fn note(&mut self, now: Instant, figures: &[PeerFigures], publisher: PeerId, sender_silent: Duration) {
        self.path_lost = figures.iter().any(|of| {
            if of.loss_up.is_some() {
                self.sent_at = Some(now);
            }
            let was_sending = of.peer == publisher
                && self.sent_at.is_some_and(|at| {
                    now.saturating_duration_since(at) <= of.silent_for.saturating_add(SENDING_WITHIN)
                });
            of.silent_for >= if was_sending { sender_silent } else { OTHER_SILENT }
        });
        let losses = figures.iter().flat_map(|of| [of.loss_up, of.loss_down]).flatten();
        if let Some(loss) = losses.reduce(f32::max) {
            self.loss += MEAN_WEIGHT * (loss - self.loss);
        }
        if let Some(rtt) = figures.iter().filter_map(|of| of.rtt).max() {
            self.rtt = rtt;
        }
        let level = level_of(self.score());
        self.present = match self.present {
            (before, held) if before == level => (level, held.saturating_add(1)),
            _ => (level, 1),
        };
    }

    /// A mean opinion, 1 to 4.5: the E-model of ITU-T G.107 in the simplification of Cole and Rosenbluth (2001). Its loss
    /// robustness is that of the codecs with concealment in G.113 appendix I, between 16 and 25.
    fn score(&self) -> f32 {
        const ROBUSTNESS: f32 = 20.0;
        let delay_ms = self.rtt.as_secs_f32() * 500.0;
        let loss_percent = self.loss * 100.0;
        let delay = 0.024 * delay_ms + 0.11 * (delay_ms - 177.3).max(0.0);
        let loss = 95.0 * loss_percent / (loss_percent + ROBUSTNESS);
        let rating = (93.2 - delay - loss).clamp(0.0, 100.0);
        1.0 + 0.035 * rating + rating * (rating - 60.0) * (100.0 - rating) * 7e-6
    }

    /// For the participant itself and for the others: what is to be told now. A level is told when it has held; a loss and
    /// its end at once.
    fn due(&self, now: Instant) -> (ConnectionQuality, ConnectionQuality) {
        let steady = match self.told {
            Some((told, _)) if told != ConnectionQuality::Lost && self.present.1 < HELD => told,
            _ => self.present.0,
        };
        let own = if self.path_lost { ConnectionQuality::Lost } else { steady };
        let away = self.away_since.is_some_and(|since| now.saturating_duration_since(since) >= SESSION_AWAY);
        (own, if away { ConnectionQuality::Lost } else { own })
    }

    fn info(&self, sid: &str, quality: ConnectionQuality) -> ConnectionQualityInfo {
        let score = if quality == ConnectionQuality::Lost { 0.0 } else { self.score() };
        ConnectionQualityInfo { participant_sid: sid.to_owned(), quality: quality.into(), score }
    }
}

/// "Users satisfied" and "many users dissatisfied" of ITU-T G.109, as mean opinions.
fn level_of(score: f32) -> ConnectionQuality {
    match score {
        score if score >= 4.03 => ConnectionQuality::Excellent,
        score if score >= 3.60 => ConnectionQuality::Good,
        _ => ConnectionQuality::Poor,
    }
}

impl Room {
    /// How the connections fared in the last second.
    pub(super) fn handle_figures(&mut self, now: Now, figures: &[PeerFigures]) {
        for participant in self.participants.values_mut() {
            let is_own = |of: &&PeerFigures| participant.peers().any(|peer| peer.id == of.peer);
            let own: Vec<_> = figures.iter().filter(is_own).copied().collect();
            if own.is_empty() {
                continue;
            }
            let frequent = has_microphone_on(participant) || !is_firefox(participant);
            let sender_silent = if frequent { SENDER_SILENT } else { OTHER_SILENT };
            let publisher = participant.publisher.id;
            participant.quality.note(now.instant, &own, publisher, sender_silent);
        }
        let keys: Vec<_> = self.participants.keys().copied().collect();
        self.tell_qualities(now, &keys);
    }

    /// Tells everybody what is new about the quality of these.
    pub(super) fn tell_qualities(&mut self, now: Now, keys: &[ParticipantKey]) {
        let mut changed = Vec::new();
        for &key in keys {
            let Some(participant) = self.participants.get_mut(&key) else { continue };
            // Before its first figures nothing is known, and what was lost for good leaves anyhow.
            if participant.quality.present.1 == 0 || participant.peers().any(|peer| peer.state == PeerState::Closed) {
                continue;
            }
            let due = participant.quality.due(now.instant);
            if participant.quality.told.replace(due) != Some(due) {
                changed.push((key, participant.is_visible(), participant.quality_infos()));
            }
        }
        if changed.is_empty() {
            return;
        }
        for (&key, participant) in &self.participants {
            let Some(session) = participant.session else { continue };
            let updates: Vec<_> = changed
                .iter()
                .filter(|(of, visible, _)| *visible || *of == key)
                .map(|(of, _, (own, others))| if *of == key { own.clone() } else { others.clone() })
                .collect();
            if !updates.is_empty() {
                let message = Box::new(Message::ConnectionQuality(ConnectionQualityUpdate { updates }));
                self.effects.push_back(Effect::ToClient { session, message });
            }
        }
    }

    /// Tells somebody new, or back again, of everybody.
    pub(super) fn tell_all_qualities(&mut self, key: ParticipantKey) {
        let told = self.participants.iter().filter(|(_, participant)| participant.quality.told.is_some());
        let updates: Vec<_> = told
            .filter(|(of, participant)| **of == key || participant.is_visible())
            .map(|(of, participant)| (*of == key, participant.quality_infos()))
            .map(|(is_self, (own, others))| if is_self { own } else { others })
            .collect();
        if !updates.is_empty() {
            self.tell(key, Message::ConnectionQuality(ConnectionQualityUpdate { updates }));
        }
    }
}

impl Participant {
    /// As told last, to itself and to others.
    fn quality_infos(&self) -> (ConnectionQualityInfo, ConnectionQualityInfo) {
        let (own, others) = self.quality.told.unwrap_or((self.quality.present.0, self.quality.present.0));
        (self.quality.info(&self.sid, own), self.quality.info(&self.sid, others))
    }
}

fn has_microphone_on(participant: &Participant) -> bool {
    participant.published().any(|track| track.kind == MediaKind::Audio && !track.info.muted)
}

fn is_firefox(participant: &Participant) -> bool {
    participant.client.browser.eq_ignore_ascii_case("firefox")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quality(loss: f32, rtt_ms: u64) -> ConnectionQuality {
        level_of(Quality { loss, rtt: Duration::from_millis(rtt_ms), ..Quality::default() }.score())
    }

    #[test]
    fn loss_and_delay_lower_the_level() {
        use ConnectionQuality::{Excellent, Good, Poor};
        for (loss, rtt_ms, expected) in [
            (0.0, 20, Excellent),
            (0.01, 150, Excellent),
            (0.03, 100, Good),
            (0.0, 500, Good),
            (0.1, 50, Poor),
            (0.0, 1_000, Poor),
            (1.0, 10_000, Poor),
        ] {
            assert_eq!(quality(loss, rtt_ms), expected, "{loss} {rtt_ms}");
        }
    }
}
