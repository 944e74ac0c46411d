//! Rooms in which people stay: `fan`, `mesh`, `trust` and `churn`.

use super::{Failures, RunError, Stage, leave_all};
use crate::load::options::{Scenario, seconds};
use crate::load::report::{JoinReport, MediaReport, Report};
use crate::load::seam::MemberId;
use crate::load::signal::{self, Expected, JoinError, Member, PublishPlan, Ticket};
use crate::random::Random;
use futures_util::StreamExt;
use std::time::{Duration, Instant};

/// How long the last path may take to carry its first packet.
const PATHS_PATIENCE: Duration = Duration::from_secs(15);
/// Steps of a search: doubling, then halving the interval.
const SEARCH_STEPS_MAX: usize = 12;
/// The search ends when the interval is as narrow as this share.
const SEARCH_PRECISION: f64 = 0.05;

/// Who joins where, and what they send and get.
#[derive(Clone, Copy)]
struct Shape {
    rooms: u32,
    /// In each room: who send, and who only receive.
    senders: u32,
    receivers: u32,
    audio: bool,
    video_layers: u8,
}

impl Shape {
    fn of(stage: &Stage) -> Self {
        let media = &stage.options.media;
        let (rooms, senders, receivers) = match stage.options.scenario {
            Scenario::Fan { subscribers, publishers } => (1, publishers, subscribers),
            Scenario::Mesh { rooms, people } | Scenario::Churn { rooms, people, .. } => (rooms, people, 0),
            Scenario::Trust { rooms, people, .. } => (rooms, people, 0),
            Scenario::Joins { .. } => (0, 0, 0),
        };
        let layers = stage.options.plan().video.len() as u8;
        Self {
            rooms,
            senders,
            receivers,
            audio: !media.no_audio,
            video_layers: if media.no_video { 0 } else { layers },
        }
    }

    fn people(&self) -> u32 {
        self.senders + self.receivers
    }

    fn tracks(&self) -> u32 {
        u32::from(self.audio) + u32::from(self.video_layers > 0)
    }

    /// Whose turn it is.
    fn is_speaking(&self, number: u32, round: u32) -> bool {
        let (room, seat) = (number / self.people(), number % self.people());
        seat == (room + round) % self.senders.max(1)
    }

    /// Pairs of a track and a receiver.
    fn paths(&self) -> u64 {
        u64::from(self.rooms)
            * u64::from(self.tracks())
            * (u64::from(self.senders) * u64::from(self.people().saturating_sub(1)))
    }

    fn ticket(&self, stage: &Stage, number: u32, generation: u32) -> Ticket {
        let (room, seat) = (number / self.people(), number % self.people());
        let sends = seat < self.senders;
        let mut publish = Vec::new();
        if sends && self.audio {
            publish.push(PublishPlan::Audio);
        }
        if sends && self.video_layers > 0 {
            publish.push(PublishPlan::Video { layers: self.video_layers, width: 1_280, height: 720 });
        }
        let others = self.senders - u32::from(sends);
        let member = MemberId(number + generation * self.rooms * self.people());
        Ticket {
            room: format!("{}-{room}", stage.name),
            identity: identity(member),
            member,
            publish,
            expect: Expected {
                audios: if self.audio { others } else { 0 },
                videos: if self.video_layers > 0 { others } else { 0 },
            },
            adaptive_stream: matches!(stage.options.scenario, Scenario::Trust { .. }),
            seed: stage.options.run.seed ^ (u64::from(member.0) + 1) << 20,
        }
    }
}

fn identity(member: MemberId) -> String {
    format!("member-{}", member.0)
}

pub(super) async fn run(stage: &Stage) -> Result<Report, RunError> {
    let shape = Shape::of(stage);
    let (mut members, joins) = join_all(stage, &shape).await?;
    let turns = tokio::spawn(speak_in_turns(stage.media().clone(), shape, stage.options.scenario.clone()));
    stage.media().scale(stage.options.run.scale);
    wait_for_paths(stage, &shape).await;
    tokio::time::sleep(seconds(stage.options.run.warm_up)).await;
    let mut report = match stage.options.scenario {
        Scenario::Churn { rate, .. } => {
            let measuring = measure(stage, &shape, members.len() as u64, &joins);
            let (report, replaced) = churn(stage, &shape, members, rate, measuring).await;
            members = replaced;
            report?
        }
        _ if stage.options.run.search => search(stage, &shape, members.len() as u64, &joins).await?,
        _ => measure(stage, &shape, members.len() as u64, &joins).await?,
    };
    turns.abort();
    let lost = members.iter().filter(|member| !member.is_alive()).count() as u64;
    if lost > 0 {
        report.joins.failures.push(("sessions that the server ended while media was measured".to_owned(), lost));
        report.within_limits = false;
    }
    leave_all(members).await;
    Ok(report)
}

async fn join_all(stage: &Stage, shape: &Shape) -> Result<(Vec<Member>, JoinReport), RunError> {
    let total = shape.rooms * shape.people();
    let bar = stage.progress("joining", u64::from(total));
    let started = Instant::now();
    // The senders first: who only listens then has all of them in its first description.
    let mut order: Vec<u32> = (0..total).collect();
    order.sort_by_key(|number| number % shape.people() >= shape.senders);
    let joining = futures_util::stream::iter(order).map(|number| {
        let ticket = shape.ticket(stage, number, 0);
        async move {
            let joined = signal::join(&stage.endpoint, ticket, stage.media().clone()).await;
            if let (Ok(member), Scenario::Trust { .. }) = (&joined, &stage.options.scenario) {
                ask_for_layers(shape, number, member).await;
                stage.media().speak(MemberId(number), shape.is_speaking(number, 0));
            }
            (number, joined)
        }
    });
    let mut joining = joining.buffer_unordered(stage.options.run.concurrency.max(1));
    let (mut members, mut times, mut failures) = (Vec::new(), Vec::new(), Failures::default());
    while let Some((number, result)) = joining.next().await {
        bar.inc(1);
        match result {
            Ok(member) => {
                times.push(member.timings().connected);
                members.push((number, member));
            }
            Err(error) => failures.add(&error),
        }
    }
    bar.finish_and_clear();
    members.sort_by_key(|(number, _)| *number);
    let members: Vec<Member> = members.into_iter().map(|(_, member)| member).collect();
    let report = JoinReport::of(&mut times, failures.into_list(), started.elapsed());
    if members.is_empty() {
        let cause = report.failures.first().map_or("no cause", |(cause, _)| cause);
        return Err(RunError::NobodyJoined(cause.to_owned()));
    }
    Ok((members, report))
}

async fn wait_for_paths(stage: &Stage, shape: &Shape) {
    let started = Instant::now();
    let bar = stage.progress("paths", shape.paths());
    while stage.media().incoming_streams() < shape.paths() && started.elapsed() < PATHS_PATIENCE {
        bar.set_position(stage.media().incoming_streams());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bar.finish_and_clear();
}

async fn measure(stage: &Stage, shape: &Shape, members: u64, joins: &JoinReport) -> Result<Report, RunError> {
    let (measured, server, generator) = stage.measure(members).await?;
    let media = MediaReport::of(&measured, (shape.paths(), stage.media().incoming_streams()));
    Ok(Report {
        scenario: stage.options.scenario.clone(),
        mode: stage.endpoint.mode,
        plan: stage.options.plan(),
        trace: stage.options.media.trace.clone(),
        scale: stage.options.run.scale,
        members,
        joins: joins.clone(),
        within_limits: stage.within_limits(&media) && joins.failures.is_empty(),
        media: Some(media),
        server,
        generator,
    })
}

/// The largest scale within the limits, and its report.
async fn search(stage: &Stage, shape: &Shape, members: u64, joins: &JoinReport) -> Result<Report, RunError> {
    let (mut good, mut bad): (Option<Report>, Option<f64>) = (None, None);
    let mut scale = stage.options.run.scale;
    let mut last = None;
    for _ in 0..SEARCH_STEPS_MAX {
        stage.media().scale(scale);
        tokio::time::sleep(Duration::from_secs(2)).await;
        let mut report = measure(stage, shape, members, joins).await?;
        report.scale = scale;
        let media = report.media.as_ref();
        println!(
            "scale {scale:.2}: {:.0} packets per second, {:.3}% lost, p99 {:.2} ms: {}",
            media.map_or(0.0, |media| media.packets_per_second),
            media.map_or(0.0, |media| media.loss_percent),
            media.map_or(0.0, |media| media.delay_ms.p99),
            match (report.within_limits, report.generator.is_the_limit) {
                (true, false) => "kept",
                (true, true) => "kept, and the generator may be the limit",
                (false, false) => "broken",
                (false, true) => "broken, perhaps by the generator",
            },
        );
        if report.within_limits {
            good = Some(report.clone());
        } else {
            bad = Some(scale);
        }
        last = Some(report);
        let lower = good.as_ref().map(|report| report.scale);
        scale = match (lower, bad) {
            (Some(_), None) => scale * 2.0,
            (None, _) => scale / 2.0,
            (Some(lower), Some(upper)) if upper / lower < 1.0 + SEARCH_PRECISION => break,
            (Some(lower), Some(upper)) => (lower * upper).sqrt(),
        };
    }
    good.or(last).ok_or(RunError::EngineEnded)
}

/// In each room one speaks at a time; the others are silent (DTX).
async fn speak_in_turns(media: crate::load::engine::EngineHandle, shape: Shape, scenario: Scenario) {
    let Scenario::Trust { turn, .. } = scenario else { return };
    for round in 0_u32.. {
        for number in 0..shape.rooms * shape.people() {
            media.speak(MemberId(number), shape.is_speaking(number, round));
        }
        tokio::time::sleep(seconds(turn).max(Duration::from_millis(100))).await;
    }
}

/// Who has joined wants one participant large, and the others small.
async fn ask_for_layers(shape: &Shape, number: u32, member: &Member) {
    let (room, seat) = (number / shape.people(), number % shape.people());
    let large = room % shape.senders.max(1);
    for other in (0..shape.senders).filter(|other| *other != seat) {
        let of = identity(MemberId(room * shape.people() + other));
        member.set_quality(&of, if other == large { 2 } else { 0 }).await;
    }
}

/// While `measuring` goes on, people leave and others take their places.
async fn churn(
    stage: &Stage,
    shape: &Shape,
    members: Vec<Member>,
    rate: f64,
    measuring: impl Future<Output = Result<Report, RunError>>,
) -> (Result<Report, RunError>, Vec<Member>) {
    let mut seats: Vec<Option<Member>> = members.into_iter().map(Some).collect();
    let mut random = Random::new(stage.options.run.seed);
    let (mut times, mut failures) = (Vec::new(), Failures::default());
    let started = Instant::now();
    let mut tick = tokio::time::interval(seconds(1.0 / rate.max(0.01)));
    let mut measuring = std::pin::pin!(measuring);
    let mut generation = 0;
    let mut report = loop {
        tokio::select! {
            report = &mut measuring => break report,
            _ = tick.tick() => {}
        }
        generation += 1;
        let seat = random.below(seats.len());
        let replace = async {
            if let Some(member) = seats[seat].take() {
                member.leave().await;
            }
            let ticket = shape.ticket(stage, seat as u32, generation);
            signal::join(&stage.endpoint, ticket, stage.media().clone()).await
        };
        let joined: Result<Member, JoinError> = tokio::select! {
            report = &mut measuring => break report,
            joined = replace => joined,
        };
        match joined {
            Ok(member) => {
                times.push(member.timings().connected);
                seats[seat] = Some(member);
            }
            Err(error) => failures.add(&error),
        }
    };
    if let Ok(report) = &mut report {
        report.joins = JoinReport::of(&mut times, failures.into_list(), started.elapsed());
    }
    (report, seats.into_iter().flatten().collect())
}
