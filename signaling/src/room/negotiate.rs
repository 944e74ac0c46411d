//! Descriptions, candidates, and what they mean for the media core.
//!
//! Order matters: the media core hears of a change before the client does, so that nothing the client then sends is
//! early.

use super::participant::{Participant, ParticipantKey};
use super::peer::{Peer, PeerState};
use super::track::Track;
use super::{Effect, Now, Room, limits};
use crate::negotiation::parse_candidate;
use consilium_media_core::control::Command;
use consilium_media_core::ids::{Mid, SubscriptionId, TrackId};
use consilium_media_core::params::{Content, ReceiveSection};
use livekit_protocol::participant_info::State;
use livekit_protocol::signal_response::Message;
use livekit_protocol::{MediaSectionsRequirement, SessionDescription, TrickleRequest};
use std::collections::{BTreeSet, HashMap, VecDeque};

impl Room {
    /// A description from the client for the connection that it negotiates.
    pub(super) fn handle_offer(&mut self, now: Now, key: ParticipantKey, offer: &SessionDescription) {
        self.open_publisher(key);
        let Some(participant) = self.participants.get_mut(&key) else { return };
        let peer = &mut participant.publisher;
        if peer.state == PeerState::Closed {
            return;
        }
        let restarted = match peer.negotiation.handle_offer(&offer.sdp) {
            Ok(outcome) => outcome.ice_restarted,
            Err(error) => {
                tracing::debug!(%error, "an offer was refused");
                return self.reject(now, key);
            }
        };
        peer.offers_received = peer.offers_received.saturating_add(1);
        if restarted {
            let ice = self.names.ice();
            peer.negotiation.set_local_ice(ice.clone());
            self.effects.push_back(Effect::Media(Command::RestartIce { peer: peer.id, local: ice }));
        }
        let changes = self.bind_sections(key);
        self.end_backups(key, &changes.backups_ended);
        for &track in &changes.ended {
            self.forget_track(track);
        }
        let Some(participant) = self.participants.get_mut(&key) else { return };
        let answer = participant.publisher.negotiation.create_answer();
        apply(participant, Side::Publisher, &self.publishers, &mut self.effects);
        self.choose_sources(key);
        self.tell(
            key,
            Message::Answer(SessionDescription {
                r#type: "answer".to_owned(),
                sdp: answer.sdp,
                id: offer.id,
                mid_to_track_id: answer.mid_to_track_id,
            }),
        );
        self.tell_first_receptions();
        self.advance_to_joined(key);
        self.announce_tracks(key, &changes);
        self.ask_for_sections(key, Asked::AfterOffer);
    }

    /// The client's answer to our offer on the connection that we negotiate.
    pub(super) fn handle_answer(&mut self, now: Now, key: ParticipantKey, answer: &SessionDescription) {
        let Some(participant) = self.participants.get_mut(&key) else { return };
        let Some(peer) = &mut participant.subscriber else { return };
        // An answer to an older offer tells nothing about the one that is out. Some SDKs send no id.
        let expected = peer.offer_outstanding;
        if expected.is_none() || (answer.id != 0 && Some(answer.id) != expected) {
            return;
        }
        peer.offer_outstanding = None;
        peer.answer_due = None;
        if let Err(error) = peer.negotiation.handle_answer(&answer.sdp) {
            tracing::debug!(%error, "an answer was refused");
            return self.reject(now, key);
        }
        apply(participant, Side::Subscriber, &self.publishers, &mut self.effects);
        self.choose_sources(key);
        self.tell_first_receptions();
        self.advance_to_joined(key);
        self.renegotiate(key);
    }

    /// An ICE-lite server needs no candidates of the client: its checks tell us where it is. They must be legible.
    pub(super) fn handle_trickle(&mut self, now: Now, key: ParticipantKey, trickle: &TrickleRequest) {
        if trickle.candidate_init.is_empty() && trickle.r#final {
            return;
        }
        if let Err(error) = parse_candidate(&trickle.candidate_init) {
            tracing::debug!(%error, "a candidate was refused");
            self.reject(now, key);
        }
    }

    /// Brings what the participant receives into the next exchange of descriptions, if that is needed.
    pub(super) fn renegotiate(&mut self, key: ParticipantKey) {
        match self.participants.get(&key).map(|participant| participant.subscriber.is_some()) {
            Some(true) => self.offer(key),
            Some(false) => self.ask_for_sections(key, Asked::AfterChange),
            None => {}
        }
    }

    pub(super) fn renegotiate_all(&mut self) {
        let keys: Vec<_> = self.participants.keys().copied().collect();
        for key in keys {
            self.renegotiate(key);
        }
    }

    /// A resumed client expects an ICE restart on the connection that we negotiate. On its own it offers by itself.
    pub(super) fn restart_receiving(&mut self, key: ParticipantKey) {
        let ice = self.names.ice();
        let Some(participant) = self.participants.get_mut(&key) else { return };
        participant.publisher.sections_asked = None;
        let Some(peer) = &mut participant.subscriber else { return };
        peer.negotiation.set_local_ice(ice.clone());
        peer.offer_outstanding = None;
        self.effects.push_back(Effect::Media(Command::RestartIce { peer: peer.id, local: ice }));
        self.send_offer(key);
    }

    /// Starts what has a place and a source and is not sent yet.
    pub(super) fn send_placed(&mut self, key: ParticipantKey) {
        if let Some(participant) = self.participants.get_mut(&key) {
            update_sending(participant, &self.publishers, &mut self.effects);
        }
    }

    /// Which track a section carries changed without a new description.
    pub(super) fn set_receive_again(&mut self, key: ParticipantKey) {
        if let Some(participant) = self.participants.get_mut(&key) {
            let tracks = carried(participant);
            set_receive(&mut participant.publisher, &tracks, &mut self.effects);
        }
    }

    /// Where the client splits its connections, the one to publish on is opened by its first offer.
    fn open_publisher(&mut self, key: ParticipantKey) {
        let Some(participant) = self.participants.get_mut(&key) else { return };
        let peer = &mut participant.publisher;
        if peer.state == PeerState::Idle {
            peer.state = PeerState::Connecting;
            let (peer, local) = (peer.id, peer.negotiation.local().ice.clone());
            self.add_peer(peer, local);
        }
    }

    fn offer(&mut self, key: ParticipantKey) {
        let Some(peer) = self.participants.get(&key).and_then(|participant| participant.subscriber.as_ref()) else {
            return;
        };
        let first = peer.offers_sent == 0;
        if peer.state != PeerState::Closed
            && peer.offer_outstanding.is_none()
            && (first || peer.negotiation.needs_offer())
        {
            self.send_offer(key);
        }
    }

    fn send_offer(&mut self, key: ParticipantKey) {
        let due = self.present.checked_add(limits::ANSWER_WINDOW);
        let Some(participant) = self.participants.get_mut(&key) else { return };
        let heard = participant.session.is_some();
        let Some(peer) = &mut participant.subscriber else { return };
        peer.answer_due = due.filter(|_| heard);
        peer.offers_sent = peer.offers_sent.wrapping_add(1);
        peer.offer_outstanding = Some(peer.offers_sent);
        let offer = SessionDescription {
            r#type: "offer".to_owned(),
            sdp: peer.negotiation.create_offer(),
            id: peer.offers_sent,
            mid_to_track_id: peer.negotiation.mid_to_track_id(),
        };
        self.tell(key, Message::Offer(offer));
    }

    /// Asks a client that offers to do so, with as many sections more as its tracks to receive need. A client that was
    /// asked and offered without adding any is not asked for the same again: it would go on for ever.
    fn ask_for_sections(&mut self, key: ParticipantKey, asked: Asked) {
        let Some(participant) = self.participants.get_mut(&key) else { return };
        if participant.subscriber.is_some() || participant.publisher.offers_received == 0 {
            return;
        }
        let unplaced = participant.subscriptions.values().any(|subscription| subscription.fresh);
        if asked == Asked::AfterChange && !unplaced {
            return;
        }
        let peer = &mut participant.publisher;
        let (audios, videos) = peer.negotiation.missing_sections();
        let need = (audios.min(limits::SECTIONS_REQUEST_MAX), videos.min(limits::SECTIONS_REQUEST_MAX));
        let ask = match (asked, peer.sections_asked) {
            (Asked::AfterOffer, before) => {
                peer.sections_asked = None;
                (need != (0, 0) && before != Some(need)).then_some(need)
            }
            (Asked::AfterChange, Some((audios, videos))) => {
                let more = (need.0.saturating_sub(audios), need.1.saturating_sub(videos));
                (more != (0, 0)).then_some(more)
            }
            (Asked::AfterChange, None) => Some(need),
        };
        let Some((num_audios, num_videos)) = ask else { return };
        let (audios, videos) = peer.sections_asked.unwrap_or((0, 0));
        peer.sections_asked = Some((audios.saturating_add(num_audios), videos.saturating_add(num_videos)));
        self.tell(key, Message::MediaSectionsRequirement(MediaSectionsRequirement { num_audios, num_videos }));
    }

    fn advance_to_joined(&mut self, key: ParticipantKey) {
        let Some(participant) = self.participants.get_mut(&key) else { return };
        if participant.state == State::Joining {
            participant.state = State::Joined;
            self.announce(key);
        }
    }
}

/// What made us look whether the client must offer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    AfterOffer,
    AfterChange,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Publisher,
    Subscriber,
}

/// Tells the media core what a finished exchange of descriptions means.
fn apply(
    participant: &mut Participant,
    side: Side,
    publishers: &HashMap<TrackId, ParticipantKey>,
    effects: &mut VecDeque<Effect>,
) {
    let receiving = side == Side::Subscriber || participant.subscriber.is_none();
    let tracks = carried(participant);
    let peer = match (side, &mut participant.subscriber) {
        (Side::Subscriber, Some(peer)) => peer,
        _ => &mut participant.publisher,
    };
    if let Some(remote) = peer.negotiation.remote()
        && peer.remote_ice.as_ref() != Some(&remote.ice)
    {
        peer.remote_ice = Some(remote.ice.clone());
        effects.push_back(Effect::Media(Command::SetRemote { peer: peer.id, remote: Box::new(remote) }));
    }
    if side == Side::Publisher {
        set_receive(peer, &tracks, effects);
    }
    if receiving {
        participant.subscriptions.values_mut().for_each(|subscription| subscription.fresh = false);
        update_sending(participant, publishers, effects);
    }
}

fn update_sending(
    participant: &mut Participant,
    publishers: &HashMap<TrackId, ParticipantKey>,
    effects: &mut VecDeque<Effect>,
) {
    let placed = start_sending(participant, publishers, effects);
    let peer = participant.receiving_mut();
    for &subscription in peer.sending.difference(&placed) {
        effects.push_back(Effect::Media(Command::Unsubscribe { subscription }));
    }
    peer.sending = placed;
}

/// What a section carries.
struct Carried {
    track: TrackId,
    muted: bool,
    content: Content,
}

fn carried(participant: &Participant) -> HashMap<Mid, Carried> {
    let entry = |(track, source): (&Track, TrackId)| {
        let carried = Carried { track: source, muted: track.info.muted, content: track.content() };
        Some((track.section_of(source)?.mid, carried))
    };
    let sources = participant.published().flat_map(|track| track.sources().map(move |source| (track, source)));
    sources.filter_map(entry).collect()
}

fn set_receive(peer: &mut Peer, tracks: &HashMap<Mid, Carried>, effects: &mut VecDeque<Effect>) {
    let incoming = peer.negotiation.incoming();
    if incoming.is_empty() && !peer.receives {
        return;
    }
    peer.receives = !incoming.is_empty();
    let muted: Vec<_> = tracks.values().filter(|carried| carried.muted).map(|carried| carried.track).collect();
    let sections = incoming.into_iter().map(|section| ReceiveSection {
        track: tracks.get(&section.mid).map(|carried| carried.track),
        content: tracks.get(&section.mid).map(|carried| carried.content).unwrap_or_default(),
        mid: section.mid,
        kind: section.kind,
        codecs: section.codecs,
        extensions: section.extensions,
        encodings: section.encodings,
    });
    let sections = sections.collect();
    effects.push_back(Effect::Media(Command::SetReceive { peer: peer.id, sections }));
    for track in muted {
        effects.push_back(Effect::Media(Command::SetTrackMuted { track, muted: true }));
    }
}

/// Starts what is placed and not sent yet. Returns all that is placed.
fn start_sending(
    participant: &Participant,
    publishers: &HashMap<TrackId, ParticipantKey>,
    effects: &mut VecDeque<Effect>,
) -> BTreeSet<SubscriptionId> {
    let by_id: HashMap<_, _> =
        participant.subscriptions.iter().map(|(&track, subscription)| (subscription.id, track)).collect();
    let peer = participant.receiving();
    let (id, sending) = (peer.id, peer.sending.clone());
    let mut placed = BTreeSet::new();
    for place in peer.negotiation.placed() {
        // A subscription that ended meanwhile, or whose track did, is left out.
        let Some(&track) = by_id.get(&place.subscription).filter(|track| publishers.contains_key(track)) else {
            continue;
        };
        // The subscriber has none of the publisher's codecs: its place stays silent.
        if place.send.payloads.is_empty() {
            continue;
        }
        // Which codec it gets is not decided, or its publisher does not send that one yet.
        let Some(wanted) = participant.subscriptions.get(&track) else { continue };
        let Some(source) = wanted.source else { continue };
        placed.insert(place.subscription);
        if sending.contains(&place.subscription) {
            continue;
        }
        let subscription = place.subscription;
        let send = Box::new(place.send);
        effects.push_back(Effect::Media(Command::Subscribe { subscription, track: source, peer: id, send }));
        if !wanted.is_plain() {
            effects.push_back(Effect::Media(wanted.settings()));
        }
        if wanted.frames_per_second > 0 {
            effects.push_back(Effect::Media(wanted.frame_rate()));
        }
    }
    placed
}
