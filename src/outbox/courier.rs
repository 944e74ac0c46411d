//! Takes out of the outbox what is due, has it carried, and says what became of it. How it is carried, a [`Carrier`] knows.

use super::figures::{Ending, Figures};
use super::{Bell, Channel, Delivery, Outcome, State, retry};
use crate::moment::Moment;
use crate::store::{Result, Store};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Deliveries to one target at a time: a target that is slow holds up nobody else, and is not stormed when it comes back.
pub const IN_FLIGHT_MAX: usize = 4;
/// Deliveries at a time, to all targets.
const ALL_IN_FLIGHT_MAX: usize = 64;
/// How long one attempt may take, whatever the carrier thinks.
const ATTEMPT_MAX: Duration = Duration::from_secs(30);
/// When an attempt counts as lost with the server that made it.
const LOST_AFTER: Duration = Duration::from_secs(45);
/// Other servers put things into the outbox too.
const POLL: Duration = Duration::from_secs(2);
/// What is due may have to wait for a place.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// After a failure of the store.
const BACKOFF: Duration = Duration::from_secs(1);
/// How long attempts under way may take to finish when the server stops.
const DRAIN: Duration = Duration::from_secs(3);
/// How long what has arrived, and what has not, is kept to be looked at.
pub const KEPT: Duration = Duration::from_secs(7 * 86_400);
const KEPT_DEAD: Duration = Duration::from_secs(30 * 86_400);
const SWEEP: Duration = Duration::from_secs(600);

/// Knows how to carry.
pub trait Carrier: Send + Sync + 'static {
    const CHANNEL: Channel;

    fn carry(&self, delivery: &Delivery) -> impl Future<Output = Outcome> + Send;
}

pub struct Courier<C> {
    store: Store,
    carrier: Arc<C>,
    bell: Bell,
    figures: Arc<Figures>,
    attempts_max: u32,
    running: JoinSet<(Delivery, Outcome)>,
    /// By target.
    in_flight: HashMap<String, usize>,
}

impl<C: Carrier> Courier<C> {
    pub fn new(store: Store, carrier: C, bell: Bell, figures: Arc<Figures>, attempts_max: u32) -> Self {
        let carrier = Arc::new(carrier);
        Self { store, carrier, bell, figures, attempts_max, running: JoinSet::new(), in_flight: HashMap::new() }
    }

    /// Until `stop` changes or its sender goes.
    pub async fn run(mut self, mut stop: watch::Receiver<()>) {
        let mut sweep_at = tokio::time::Instant::now();
        loop {
            if tokio::time::Instant::now() >= sweep_at {
                let swept = self.sweep().await;
                complain::<C, _>("sweep", &swept);
                // In between, others have the lock, and what is due goes.
                let is_more = swept.unwrap_or_default();
                sweep_at = tokio::time::Instant::now() + if is_more { Duration::ZERO } else { SWEEP };
            }
            let pause = match complain::<C, _>("set out", &self.set_out().await) {
                true => self.pause().await,
                false => BACKOFF,
            };
            tokio::select! {
                _ = stop.changed() => break,
                Some(ended) = self.running.join_next() => self.come_back(ended).await,
                () = self.bell.of(C::CHANNEL).notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        // What does not come back in time counts as lost, and is carried again.
        let drained = async {
            while let Some(ended) = self.running.join_next().await {
                self.come_back(ended).await;
            }
        };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            tracing::warn!(channel = C::CHANNEL.name(), "deliveries were cut off at shutdown; they are tried again");
        }
    }

    /// Sends out what is due and has a place.
    async fn set_out(&mut self) -> Result<()> {
        let now = Moment::now();
        for target in self.store.due_targets(C::CHANNEL, now).await? {
            let busy = self.in_flight.get(&target).copied().unwrap_or_default();
            let places = IN_FLIGHT_MAX.saturating_sub(busy).min(ALL_IN_FLIGHT_MAX - self.running.len());
            if places == 0 {
                continue;
            }
            let mut write = self.store.write().await?;
            let claimed = write.claim(C::CHANNEL, &target, places as i64, now, now.plus(LOST_AFTER)).await?;
            write.commit().await?;
            *self.in_flight.entry(target).or_default() += claimed.len();
            for delivery in claimed {
                let carrier = self.carrier.clone();
                self.running.spawn(async move {
                    let attempt = tokio::time::timeout(ATTEMPT_MAX, carrier.carry(&delivery)).await;
                    let outcome = attempt.unwrap_or_else(|_| Outcome::Failed("timeout".into()));
                    (delivery, outcome)
                });
            }
        }
        Ok(())
    }

    async fn come_back(&mut self, ended: std::result::Result<(Delivery, Outcome), tokio::task::JoinError>) {
        let (delivery, outcome) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                // Its row counts as lost after a while. Of its target nothing is known here, so all begin anew.
                tracing::error!(%error, channel = C::CHANNEL.name(), "a delivery's task failed");
                self.in_flight.clear();
                return;
            }
        };
        if let Some(busy) = self.in_flight.get_mut(&delivery.target) {
            *busy = busy.saturating_sub(1);
        }
        self.in_flight.retain(|_, busy| *busy > 0);
        complain::<C, _>("record", &self.record(&delivery, outcome).await);
    }

    async fn record(&self, delivery: &Delivery, outcome: Outcome) -> Result<()> {
        let now = Moment::now();
        let ending = Ending::of(&outcome, delivery.attempts >= self.attempts_max);
        let failure = match outcome {
            Outcome::Failed(failure) | Outcome::Refused(failure) => failure,
            Outcome::Delivered | Outcome::Superseded => "".into(),
        };
        let mut write = self.store.write().await?;
        match ending {
            Ending::Delivered => write.end(delivery, State::Delivered, None, now).await?,
            Ending::Superseded => write.end(delivery, State::Superseded, None, now).await?,
            Ending::Failed => {
                let due = now.plus(retry::pause(delivery.attempts, rand::random()));
                write.postpone(&delivery.id, due, &failure).await?;
            }
            Ending::Dead => {
                let id = delivery.id.as_str();
                tracing::warn!(delivery = id, attempts = delivery.attempts, %failure, "a delivery was given up");
                write.end(delivery, State::Dead, Some(&failure), now).await?;
            }
        }
        write.commit().await?;
        self.figures.count(C::CHANNEL, ending);
        Ok(())
    }

    /// Until the next is due.
    async fn pause(&self) -> Duration {
        match self.store.next_due(C::CHANNEL).await {
            Ok(due) => due.map_or(POLL, |due| due.since(Moment::now())).clamp(PAUSE_MIN, POLL),
            Err(_) => BACKOFF,
        }
    }

    /// Whether there is more to sweep.
    async fn sweep(&self) -> Result<bool> {
        let now = Moment::now();
        let before = |kept: Duration| Moment::from_ms(now.ms().saturating_sub(kept.as_millis() as i64));
        let mut write = self.store.write().await?;
        let is_more = write.sweep_outbox(before(KEPT), before(KEPT_DEAD)).await?;
        write.commit().await?;
        Ok(is_more)
    }
}

/// Whether it went well.
fn complain<C: Carrier, T>(step: &'static str, result: &Result<T>) -> bool {
    if let Err(error) = result {
        tracing::warn!(%error, channel = C::CHANNEL.name(), step, "the store did not answer; deliveries wait");
    }
    result.is_ok()
}
