//! Structured logs on standard error, as text or JSON. Standard output belongs to what commands print.

use crate::config::{LogConfig, LogFormat};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::util::TryInitError;

/// The handshake library reports what strangers send as errors; our own counters say it better. The WebSocket library traces
/// whole frames, with the names and the chat of people in them.
const QUIETED: &[&str] = &["rtc_dtls=off", "rtc_sctp=error", "tungstenite=info"];

/// Once per process.
pub fn start(config: &LogConfig) -> Result<(), TryInitError> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(&config.filter))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match config.format {
        LogFormat::Text => builder.finish().try_init(),
        LogFormat::Json => builder.json().finish().try_init(),
    }
}

/// What the operator names wins over what we quieten.
fn filter(text: &str) -> EnvFilter {
    let mut directives: Vec<&str> = QUIETED.iter().copied().filter(|quieted| !names_target(text, quieted)).collect();
    directives.insert(0, text);
    EnvFilter::new(directives.join(","))
}

fn names_target(text: &str, directive: &str) -> bool {
    directive.split('=').next().is_some_and(|target| text.contains(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_the_operator_names_is_not_quietened() {
        assert_eq!(filter("info").to_string(), "tungstenite=info,rtc_sctp=error,rtc_dtls=off,info");
        assert_eq!(filter("info,rtc_dtls=debug").to_string(), "tungstenite=info,rtc_sctp=error,rtc_dtls=debug,info");
    }
}
