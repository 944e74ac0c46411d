//! What must hold in every scenario.

pub(crate) mod gaps;
pub(crate) mod numbers;
pub(crate) mod rates;

use crate::world::World;
use std::fmt::{Display, Formatter};
use std::time::Duration;

#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) oracle: &'static str,
    pub(crate) at: Option<Duration>,
    pub(crate) receiver: usize,
    pub(crate) what: String,
}

impl Display for Violation {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at receiver {}", self.oracle, self.receiver)?;
        if let Some(at) = self.at {
            write!(f, " at {:.3} s", at.as_secs_f64())?;
        }
        write!(f, ": {}", self.what)
    }
}

/// All that a finished run did wrong.
pub(crate) fn judge(world: &World) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut found = |oracle, receiver, what: &String| {
        violations.push(Violation { oracle, at: None, receiver, what: what.clone() });
    };
    for client in world.clients.iter().flatten() {
        client.broken.iter().for_each(|what| found("srtp", client.index, what));
        client.receiver.broken.iter().for_each(|what| found("stream", client.index, what));
        for stream in &client.receiver.streams {
            stream.decoder.broken.iter().for_each(|what| found("frames", client.index, what));
        }
    }
    for (receiver, numbers) in world.numbers.iter().enumerate() {
        violations.extend(numbers.violations.iter().map(|(at, what)| Violation {
            oracle: "numbers",
            at: Some(*at),
            receiver,
            what: what.clone(),
        }));
    }
    gaps::judge(world, &mut violations);
    violations
}
