//! The task that hears who comes into the rooms of meetings and who leaves, and writes it down. It also says every few
//! seconds that this server runs, so that whoever starts after a crash knows until when people were there; and it looks after
//! sittings, whose end nobody says.

use super::sittings;
use super::stays::Stays;
use crate::ids::{InvitationId, MeetingId, RunId};
use crate::moment::Moment;
use crate::store::presence::Arrival;
use crate::store::{Result, Store, StoreError};
use consilium_signaling::rooms::{Notice, NoticeKind, Notices};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

/// Between two signs of life. A stay that a crash cut off is known to this.
const BEAT: Duration = Duration::from_secs(10);
/// A server that shares the database and was not heard of for this long is gone.
const DEAD_AFTER: Duration = Duration::from_secs(60);
/// Between two attempts while the database is busy or away. Notices wait meanwhile.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
pub struct RecorderSettings {
    /// How long an occurrence stays open with nobody in it: as long as its room does.
    pub grace: Duration,
}

/// Owns the task.
pub struct Recorder {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Recorder {
    pub fn start(store: Store, notices: Notices, settings: RecorderSettings) -> Self {
        let (stop, stopped) = watch::channel(false);
        let run = RunId::new(Moment::now());
        let task = Task { store, run, stays: Stays::default(), grace: settings.grace, stopped };
        Self { stop, task: tokio::spawn(task.run(notices)) }
    }

    /// Writes down what has been told so far. The rooms are to have ended.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the recorder's task failed");
        }
    }
}

struct Task {
    store: Store,
    run: RunId,
    stays: Stays,
    grace: Duration,
    stopped: watch::Receiver<bool>,
}

impl Task {
    async fn run(mut self, mut notices: Notices) {
        let mut ticks = tokio::time::interval(BEAT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopped = self.stopped.clone();
        loop {
            tokio::select! {
                notice = notices.recv() => match notice {
                    Some(notice) => self.take(&notice).await,
                    None => break,
                },
                _ = ticks.tick() => self.beat(Moment::now()).await,
                () = until_true(&mut stopped) => break,
            }
        }
        while let Ok(notice) = notices.try_recv() {
            self.take(&notice).await;
        }
    }

    /// Until it is written down, or the server stops.
    async fn take(&mut self, notice: &Notice) {
        loop {
            match self.write_down(notice).await {
                Ok(()) => return,
                Err(error @ (StoreError::Busy(_) | StoreError::Unavailable(_))) => {
                    tracing::warn!(%error, "who came or went is not written down yet");
                }
                Err(error) => {
                    tracing::error!(%error, "who came or went cannot be written down");
                    return;
                }
            }
            let mut stopped = self.stopped.clone();
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = until_true(&mut stopped) => return,
            }
        }
    }

    async fn write_down(&mut self, notice: &Notice) -> Result<()> {
        let Some(meeting) = MeetingId::parse(notice.room_name()) else { return Ok(()) };
        let at = Moment::from_ms(notice.unix_ms());
        let person = notice.identity().and_then(InvitationId::parse).zip(notice.participant_sid());
        match (notice.kind(), person) {
            (NoticeKind::ParticipantJoined, Some((invitation, participant))) => {
                let (run, now) = (self.run.as_str(), Moment::now());
                let arrival = Arrival { participant, run, meeting: &meeting, invitation: &invitation, at, now };
                if sittings::arrive(&self.store, &arrival).await? {
                    self.stays.begin(participant, meeting, invitation);
                }
            }
            (NoticeKind::ParticipantLeft, Some((invitation, participant))) => {
                sittings::leave(&self.store, &self.stays.name(participant), &meeting, &invitation, at).await?;
                self.stays.end(participant);
            }
            (NoticeKind::RoomFinished, _) => {
                sittings::close_room(&self.store, self.run.as_str(), &meeting, at).await?;
                self.stays.end_all(&meeting);
            }
            _ => {}
        }
        Ok(())
    }

    /// What fails here is tried again with the next beat.
    async fn beat(&mut self, now: Moment) {
        if let Err(error) = self.try_beat(now).await {
            tracing::warn!(%error, "the sign of life was not written");
        }
    }

    async fn try_beat(&mut self, now: Moment) -> Result<()> {
        let run = self.run.as_str();
        // Beside a database of its own, every other run is over, however short ago it was.
        let since = match self.store.is_shared() {
            true => Moment::from_ms(now.ms() - DEAD_AFTER.as_millis() as i64),
            false => Moment::from_ms(i64::MAX),
        };
        if self.store.has_dead_runs(run, since).await? {
            let mut write = self.store.write().await?;
            let deserted = write.end_stays_of_the_dead(run, since).await?;
            write.commit().await?;
            tracing::info!(meetings = deserted.len(), "stays that a server did not live to end were ended");
        }
        let written = self.store.open_stays(run).await?;
        if !written.is_empty() {
            let mut write = self.store.write().await?;
            write.beat(run, now).await?;
            write.commit().await?;
        }
        for (participant, stay, [ended, name]) in self.stays.ended_by_mistake(&written) {
            let (meeting, invitation) = (&stay.meeting, &stay.invitation);
            let arrival = Arrival { participant: &name, run, meeting, invitation, at: now, now };
            if sittings::go_on(&self.store, &ended, arrival).await? {
                self.stays.go_on(&participant);
            } else {
                // Removed with its meeting.
                self.stays.end(&participant);
            }
        }
        for sitting in self.store.open_sittings().await? {
            sittings::look_after(&self.store, &sitting, self.grace, now).await?;
        }
        Ok(())
    }
}

/// Also when whoever could say so is gone.
async fn until_true(said: &mut watch::Receiver<bool>) {
    let _ = said.wait_for(|said| *said).await;
}
