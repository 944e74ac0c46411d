//! ICE-lite (RFC 8445 section 2.5): which paths to the peer are proven, and which one we send on.
//!
//! We never send a check; the peer, always a full agent and so always controlling, checks and nominates. Owns the
//! paths, the credentials and consent (RFC 7675). Knows nothing of what travels on the path.

mod message;
#[cfg(test)]
mod tests;

pub use message::{StunClass, StunMessage, parse_stun};

use crate::drops::DropReason;
use crate::limits::CONSENT_TIMEOUT;
use crate::params::{IceCredentials, Path};
use aws_lc_rs::hmac;
use message::Answer;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Proven paths of a peer. A laptop with Wi-Fi, Ethernet, a VPN and both address families makes eight; restarts add
/// some.
pub const VALIDATED_PATHS_MAX: usize = 16;
/// Without a nomination we follow the peer to another path once the selected one has not been checked for so long:
/// twice the interval of consent checks (RFC 7675 section 5.1).
const PATH_STALE: Duration = Duration::from_secs(10);

/// What a check changed, so that the worker can keep its table of addresses.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StunOutcome {
    /// Proven for the first time: datagrams from this address are now this peer's.
    pub validated: Option<Path>,
    /// Pushed out by the new one, or not checked for too long: its address is no longer this peer's.
    pub evicted: Option<Path>,
    /// [`IceLite::selected`] is another path than before.
    pub selected_changed: bool,
    /// After an ICE restart: checks for this local fragment are no longer answered.
    pub retired_ufrag: Option<String>,
}

/// One set of credentials; an ICE restart starts another (RFC 8445 section 9).
struct Generation {
    ufrag: String,
    key: hmac::Key,
    /// The peer's fragment, once its description came. Checks may come earlier (RFC 8445 section 7.3).
    remote_ufrag: Option<String>,
}

impl Generation {
    fn new(local: IceCredentials) -> Self {
        // RFC 8489 section 9.1.1: the key of short-term credentials is the password.
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, local.pwd.as_bytes());
        Self { ufrag: local.ufrag, key, remote_ufrag: None }
    }
}

#[derive(Clone, Copy)]
struct ValidatedPath {
    path: Path,
    last_check: Instant,
}

pub(super) struct IceLite {
    current: Generation,
    /// Valid until the peer uses the current one.
    previous: Option<Generation>,
    paths: Vec<ValidatedPath>,
    selected: Option<ValidatedPath>,
    nominated: bool,
}

impl IceLite {
    pub(super) fn new(local: IceCredentials) -> Self {
        Self {
            current: Generation::new(local),
            previous: None,
            paths: Vec::with_capacity(VALIDATED_PATHS_MAX),
            selected: None,
            nominated: false,
        }
    }

    pub(super) fn set_remote(&mut self, remote: &IceCredentials) {
        self.current.remote_ufrag = Some(remote.ufrag.clone());
    }

    pub(super) fn restart(&mut self, local: IceCredentials) {
        // A restart on top of an unused one replaces it; what the peer used last stays valid.
        let unused = std::mem::replace(&mut self.current, Generation::new(local));
        self.previous.get_or_insert(unused);
    }

    pub(super) fn local_ufrags(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.current).chain(&self.previous).map(|generation| generation.ufrag.as_str())
    }

    /// Where to send: the newest nominated path, or the first proven one while there was no nomination.
    pub(super) fn selected(&self) -> Option<Path> {
        self.selected.map(|selected| selected.path)
    }

    pub(super) fn is_nominated(&self) -> bool {
        self.nominated
    }

    pub(super) fn is_validated(&self, remote: SocketAddr) -> bool {
        self.paths.iter().any(|validated| validated.path.remote == remote)
    }

    /// When consent to send ends unless it is renewed (RFC 7675 section 5.1).
    pub(super) fn consent_expires(&self) -> Option<Instant> {
        self.selected.map(|selected| selected.last_check + CONSENT_TIMEOUT)
    }

    /// Takes one check. A request without valid integrity changes nothing and is not answered: the 401 of RFC 8489
    /// section 9.1.3 would make us send to whatever address a stranger writes into a datagram.
    pub(super) fn handle(
        &mut self,
        now: Instant,
        path: Path,
        message: &StunMessage<'_>,
        send: impl FnOnce(&[u8]),
    ) -> Result<StunOutcome, DropReason> {
        if message.class == StunClass::Indication {
            return Ok(StunOutcome::default());
        }
        let local = message.local_ufrag().ok_or(DropReason::StunUnknownUser)?;
        let is_current = self.current.ufrag == local;
        let generation = match &self.previous {
            _ if is_current => &self.current,
            Some(previous) if previous.ufrag == local => previous,
            _ => return Err(DropReason::StunUnknownUser),
        };
        if !message.verify(&generation.key) {
            return Err(DropReason::StunBadIntegrity);
        }
        if generation.remote_ufrag.as_deref().is_some_and(|remote| message.remote_ufrag() != Some(remote)) {
            return Err(DropReason::StunUnknownUser);
        }
        if !message.unknown_attributes().is_empty() {
            send(Answer::unknown_attributes(message, &generation.key).as_bytes());
            return Ok(StunOutcome::default());
        }
        if message.controlled {
            // RFC 8445 section 7.3.1.1. A lite agent cannot take the controlling role, so it acts as if its
            // tie-breaker were the smallest.
            send(Answer::role_conflict(message, &generation.key).as_bytes());
            return Ok(StunOutcome::default());
        }
        send(Answer::success(message, path.remote, &generation.key).as_bytes());
        Ok(self.accept(now, path, message.use_candidate, is_current))
    }

    fn accept(&mut self, now: Instant, path: Path, nominates: bool, is_current: bool) -> StunOutcome {
        let mut outcome = StunOutcome::default();
        if is_current {
            outcome.retired_ufrag = self.previous.take().map(|previous| previous.ufrag);
        }
        let checked = ValidatedPath { path, last_check: now };
        match self.paths.iter_mut().find(|known| known.path.remote == path.remote) {
            Some(known) => *known = checked,
            None => {
                outcome.evicted = self.make_room();
                outcome.validated = Some(path);
                self.paths.push(checked);
            }
        }
        outcome.evicted = outcome.evicted.or_else(|| self.give_up(now));
        let before = self.selected();
        let selects = match &self.selected {
            None => true,
            // Also refreshes consent, and follows a change of our own address.
            Some(selected) if selected.path.remote == path.remote => true,
            Some(_) if nominates => true,
            Some(selected) => now.saturating_duration_since(selected.last_check) >= PATH_STALE,
        };
        if selects {
            self.selected = Some(checked);
        }
        self.nominated |= nominates;
        outcome.selected_changed = before != self.selected();
        outcome
    }

    fn make_room(&mut self) -> Option<Path> {
        if self.paths.len() < VALIDATED_PATHS_MAX { None } else { self.drop_oldest(|_| true) }
    }

    /// One path that is no longer proven: an address that a NAT gave to somebody else is not ours to take packets from.
    fn give_up(&mut self, now: Instant) -> Option<Path> {
        self.drop_oldest(|last_check| now.saturating_duration_since(last_check) >= CONSENT_TIMEOUT)
    }

    /// Drops the path that was checked longest ago if `may` says so, never the selected one.
    fn drop_oldest(&mut self, may: impl FnOnce(Instant) -> bool) -> Option<Path> {
        let selected = self.selected.map(|selected| selected.path.remote);
        let (index, _) = self
            .paths
            .iter()
            .enumerate()
            .filter(|(_, known)| Some(known.path.remote) != selected)
            .min_by_key(|(_, known)| known.last_check)
            .filter(|(_, known)| may(known.last_check))?;
        Some(self.paths.swap_remove(index).path)
    }
}
