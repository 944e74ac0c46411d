//! People arrive at a constant rate, whether or not the server keeps up; each stays a while and leaves: `joins`.

use super::{Failures, RunError, Stage};
use crate::load::options::seconds;
use crate::load::report::{GeneratorReport, JoinReport, Report, ServerReport};
use crate::load::seam::MemberId;
use crate::load::signal::{self, Expected, PublishPlan, Ticket};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// A 95th percentile of joins above this breaks the limits.
const JOIN_P95_MAX_MS: f64 = 1_000.0;
/// Members send this much less than in a meeting: what is measured is how they come in, not what they say.
const MEDIA_SCALE: f64 = 0.1;
/// Joins under way at most; beyond, the generator gives up on the rate and says so.
const UNDER_WAY_MAX: usize = 4_096;

pub(super) async fn run(stage: &Stage, rate: f64, people: u32, hold: Duration) -> Result<Report, RunError> {
    let duration = seconds(stage.options.run.duration);
    let interval = seconds(1.0 / rate.max(0.01));
    let total = (duration.as_secs_f64() * rate).ceil() as u32;
    let bar = stage.progress("joining", u64::from(total));
    let window = super::Window { start_ns: 0, end_ns: u64::MAX };
    stage.media().measure(window);
    stage.media().scale(MEDIA_SCALE * stage.options.run.scale);
    let before = stage.server()?;
    let watch = stage.watch_generator()?;
    let started = Instant::now();
    let mut joining = JoinSet::new();
    let (mut times, mut failures, mut members) = (Vec::new(), Failures::default(), 0);
    let mut missed = 0;
    for number in 0..total {
        tokio::time::sleep_until((started + interval * number).into()).await;
        if joining.len() >= UNDER_WAY_MAX {
            missed += 1;
            continue;
        }
        let ticket = ticket(stage, number, people.max(1));
        let (endpoint, media) = (stage.endpoint.clone(), stage.media().clone());
        joining.spawn(async move {
            let member = signal::join(&endpoint, ticket, media).await?;
            let connected = member.timings().connected;
            tokio::time::sleep(hold).await;
            member.leave().await;
            Ok::<_, signal::JoinError>(connected)
        });
        bar.inc(1);
        while let Some(done) = joining.try_join_next() {
            note(done, &mut times, &mut failures, &mut members);
        }
    }
    let elapsed = started.elapsed();
    let (after, core_share) = (stage.server()?, watch.core_share()?);
    while let Some(done) = joining.join_next().await {
        note(done, &mut times, &mut failures, &mut members);
    }
    bar.finish_and_clear();
    let measured = stage.media().collect().await.ok_or(RunError::EngineEnded)?;
    let server = stage.idle.zip(before).zip(after).map(|((idle, before), after)| {
        let present = (rate * hold.as_secs_f64()).min(f64::from(total)) as u64;
        ServerReport::of(&idle, &before, &after, elapsed, present, (0, u64::from(total)))
    });
    let joins = JoinReport::of(&mut times, failures.into_list(), elapsed);
    let kept_up = elapsed < duration + Duration::from_secs(1) && missed == 0;
    let generator = GeneratorReport::of(&measured, core_share);
    Ok(Report {
        scenario: stage.options.scenario.clone(),
        mode: stage.endpoint.mode,
        plan: stage.options.plan(),
        trace: stage.options.media.trace.clone(),
        scale: MEDIA_SCALE * stage.options.run.scale,
        members,
        within_limits: joins.failures.is_empty() && joins.p95_ms < JOIN_P95_MAX_MS && kept_up,
        joins,
        media: None,
        server,
        generator: GeneratorReport { is_the_limit: generator.is_the_limit || !kept_up, ..generator },
    })
}

type Joined = Result<Result<Duration, signal::JoinError>, tokio::task::JoinError>;

fn note(done: Joined, times: &mut Vec<Duration>, failures: &mut Failures, members: &mut u64) {
    match done {
        Ok(Ok(time)) => {
            times.push(time);
            *members += 1;
        }
        Ok(Err(error)) => failures.add(&error),
        Err(error) => failures.add(&error),
    }
}

/// Rooms fill one after the other.
fn ticket(stage: &Stage, number: u32, people: u32) -> Ticket {
    let media = &stage.options.media;
    let mut publish = Vec::new();
    if !media.no_audio {
        publish.push(PublishPlan::Audio);
    }
    if !media.no_video {
        publish.push(PublishPlan::Video { layers: 1, width: 640, height: 360 });
    }
    let others = people - 1;
    Ticket {
        room: format!("{}-{}", stage.name, number / people),
        identity: format!("member-{number}"),
        member: MemberId(number),
        expect: Expected {
            audios: if media.no_audio { 0 } else { others },
            videos: if media.no_video { 0 } else { others },
        },
        publish,
        adaptive_stream: false,
        seed: stage.options.run.seed ^ (u64::from(number) + 1) << 20,
    }
}
