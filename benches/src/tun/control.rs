//! Lines of JSON from the standard input change the path while it runs; each is answered by a line.

use super::options::Paths;
use super::report::Report;
use super::shovel::Shovel;
use crate::link::{LinkParameters, Outage};
use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// A line has a few hundred bytes; somebody who sends a file is told so.
const LINE_LEN_MAX: usize = 65_536;

/// What a line can ask for. All that it says happens at once.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Request {
    /// Parameters of the link towards the program; those that are left out stay.
    down: Map<String, Value>,
    up: Map<String, Value>,
    /// Nothing passes, in both directions, from now on and so long.
    outage_ms: Option<u64>,
    stats: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer<'a> {
    Ready { netns: &'a str, host: Ipv4Addr, guest: Ipv4Addr },
    Done,
    Stats(Box<Report>),
    Error(String),
}

pub(super) struct Control {
    /// The standard output is the command's, if there is one.
    has_command: bool,
    is_open: bool,
    pending: Vec<u8>,
}

impl Control {
    pub(super) fn new(has_command: bool) -> Self {
        Self { has_command, is_open: true, pending: Vec::new() }
    }

    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    pub(super) fn answer(&self, answer: &Answer<'_>) -> anyhow::Result<()> {
        let mut line = serde_json::to_string(answer)?;
        line.push('\n');
        let written = if self.has_command {
            std::io::stderr().write_all(line.as_bytes())
        } else {
            std::io::stdout().write_all(line.as_bytes())
        };
        written.context("nobody reads the answers")
    }

    /// Once the input is ready: one read, which does not block.
    pub(super) fn read(&mut self, shovel: &mut Shovel) -> anyhow::Result<()> {
        let mut input = File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
        let mut buffer = [0; 4_096];
        let len = input.read(&mut buffer)?;
        self.is_open = len > 0;
        self.pending.extend_from_slice(buffer.get(..len).unwrap_or_default());
        while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            if !line.trim_ascii().is_empty() {
                let answer = apply(&line, shovel).unwrap_or_else(|error| Answer::Error(format!("{error:#}")));
                self.answer(&answer)?;
            }
        }
        if self.pending.len() > LINE_LEN_MAX {
            self.pending.clear();
            self.answer(&Answer::Error(format!("a line has at most {LINE_LEN_MAX} bytes")))?;
        }
        Ok(())
    }
}

fn apply(line: &[u8], shovel: &mut Shovel) -> anyhow::Result<Answer<'static>> {
    let request: Request = serde_json::from_slice(line)?;
    let (now, since_start) = (Instant::now(), shovel.elapsed());
    let outage = request.outage_ms.map(|ms| Outage::once(since_start, Duration::from_millis(ms)));
    let Paths { down, up } = shovel.links_mut();
    // Both are right before either is changed.
    let to_down = changed(down.parameters(), request.down, outage)?;
    let to_up = changed(up.parameters(), request.up, outage)?;
    down.set_parameters(now, to_down);
    up.set_parameters(now, to_up);
    Ok(if request.stats { Answer::Stats(Box::new(Report::of(shovel))) } else { Answer::Done })
}

fn changed(
    before: &LinkParameters,
    changes: Map<String, Value>,
    outage: Option<Outage>,
) -> anyhow::Result<LinkParameters> {
    let mut fields = serde_json::to_value(before)?;
    fields.as_object_mut().context("parameters have names")?.extend(changes);
    let mut after: LinkParameters = serde_json::from_value(fields)?;
    if let Some(outage) = outage {
        after.outages.retain(|old| old.every.is_some() || old.start + old.length > outage.start);
        after.outages.push(outage);
    }
    after.validate()?;
    Ok(after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Loss;

    fn fields(json: &str) -> Map<String, Value> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn what_a_line_leaves_out_stays() {
        let before = LinkParameters { rate_bps: Some(1), delay: Duration::from_millis(7), ..LinkParameters::default() };
        let after = changed(&before, fields(r#"{"rate_bps": null, "loss": {"random": 0.5}}"#), None).unwrap();
        assert_eq!(after, LinkParameters { rate_bps: None, loss: Loss::Random(0.5), ..before });
    }

    #[test]
    fn a_wrong_line_is_refused() {
        let before = LinkParameters::default();
        for wrong in [r#"{"rate": 1}"#, r#"{"rate_bps": "fast"}"#, r#"{"loss": {"random": 2}}"#] {
            assert!(changed(&before, fields(wrong), None).is_err(), "{wrong}");
        }
        assert!(serde_json::from_str::<Request>(r#"{"dwon": {}}"#).is_err());
    }

    #[test]
    fn an_outage_is_added_to_those_that_are_not_over() {
        let seconds = Duration::from_secs;
        let [over, next] = [1, 20].map(|at| Outage::once(seconds(at), seconds(1)));
        let before = LinkParameters { outages: vec![over, next], ..LinkParameters::default() };
        let now = Outage::once(seconds(10), seconds(8));
        assert_eq!(changed(&before, Map::new(), Some(now)).unwrap().outages, [next, now]);
    }
}
