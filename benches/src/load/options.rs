//! What the user chooses.

use super::plan::{Plan, VideoRate};
use super::signal::{Endpoint, Mode};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

/// Puts a server of the LiveKit client protocol under load, and measures what arrives.
///
/// Every participant is real: a token, a WebSocket, ICE, DTLS, SRTP. Each packet is counted and timed where it arrives.
#[derive(Clone, Debug, Parser)]
#[command(name = "consilium-load", version)]
pub struct Options {
    #[command(subcommand)]
    pub scenario: Scenario,
    #[command(flatten)]
    pub server: ServerOptions,
    #[command(flatten)]
    pub media: MediaOptions,
    #[command(flatten)]
    pub run: RunOptions,
}

#[derive(Clone, Debug, Args)]
pub struct ServerOptions {
    /// Where the server answers.
    #[arg(long, default_value = "http://127.0.0.1:8080", global = true)]
    pub url: String,
    #[arg(long, env = "CONSILIUM_API_KEY", default_value = "", global = true)]
    pub api_key: String,
    #[arg(long, env = "CONSILIUM_API_SECRET", default_value = "", hide_env_values = true, global = true)]
    pub api_secret: String,
    /// Peer connections per participant; older servers know `dual` only.
    #[arg(long, value_enum, default_value = "single", global = true)]
    pub mode: Mode,
    /// The server's process on this machine: its processor time, memory and switches are reported.
    #[arg(long, global = true)]
    pub pid: Option<u32>,
    /// Seconds after which a join has failed.
    #[arg(long, default_value_t = 10.0, global = true)]
    pub join_timeout: f64,
}

#[derive(Clone, Debug, Args)]
pub struct MediaOptions {
    /// Video bit rate of each publisher (with simulcast: of its largest layer), in bits per second.
    #[arg(long, global = true)]
    pub bitrate: Option<u64>,
    #[arg(long, global = true)]
    pub fps: Option<f64>,
    /// Largest video payload, in bytes.
    #[arg(long, default_value_t = 1_000, global = true)]
    pub packet_len: usize,
    #[arg(long, global = true)]
    pub no_audio: bool,
    #[arg(long, global = true)]
    pub no_video: bool,
    /// Spreads a frame's packets over this share of the frame interval, instead of one burst.
    #[arg(long, default_value_t = 0.0, default_missing_value = "0.5", num_args = 0..=1, global = true)]
    pub paced: f64,
    /// Publishers send what this trace says, instead of by rates (see traces/capture.mjs). Tracks that it lacks go by rates.
    #[arg(long, global = true)]
    pub trace: Option<PathBuf>,
    /// Share of arriving packets that receivers throw away unread.
    #[arg(long, default_value_t = 0.0, global = true)]
    pub loss: f64,
    /// Receivers ask again for what is missing.
    #[arg(long, global = true)]
    pub nack: bool,
}

#[derive(Clone, Debug, Args)]
pub struct RunOptions {
    /// Seconds that are measured.
    #[arg(long, default_value_t = 10.0, global = true)]
    pub duration: f64,
    /// Seconds between the last join and the measurement.
    #[arg(long, default_value_t = 3.0, global = true)]
    pub warm_up: f64,
    #[arg(long, default_value_t = 1, global = true)]
    pub seed: u64,
    /// The processor core that the generator stays on.
    #[arg(long, global = true)]
    pub cpu: Option<usize>,
    /// What the rooms are called, before a dash and a number; by default as those of no other run.
    #[arg(long, global = true)]
    pub room: Option<String>,
    /// Joins under way at the same time, where they are not what is measured.
    #[arg(long, default_value_t = 8, global = true)]
    pub concurrency: usize,
    /// Sends everything this many times as often.
    #[arg(long, default_value_t = 1.0, global = true)]
    pub scale: f64,
    /// Looks for the largest scale that keeps the limits on loss and delay.
    #[arg(long, global = true)]
    pub search: bool,
    /// Percent of packets that may be lost.
    #[arg(long, default_value_t = 0.1, global = true)]
    pub loss_max: f64,
    /// Milliseconds that the 99th percentile of the delay may be.
    #[arg(long, default_value_t = 20.0, global = true)]
    pub p99_max: f64,
    /// Ends with an error when a limit is broken.
    #[arg(long, global = true)]
    pub check: bool,
    /// Writes the report to this file as JSON.
    #[arg(long, global = true)]
    pub json: Option<PathBuf>,
}

#[derive(Clone, Debug, Subcommand, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scenario {
    /// A lecture: few send to many.
    Fan {
        #[arg(long, default_value_t = 200)]
        subscribers: u32,
        #[arg(long, default_value_t = 1)]
        publishers: u32,
    },
    /// Meetings: everybody sends to everybody in their room.
    Mesh {
        #[arg(long, default_value_t = 4)]
        rooms: u32,
        #[arg(long, default_value_t = 10)]
        people: u32,
    },
    /// A hospital trust in the busiest hour: many rooms, simulcast, one active speaker in each.
    Trust {
        #[arg(long, default_value_t = 132)]
        rooms: u32,
        #[arg(long, default_value_t = 5)]
        people: u32,
        /// Seconds that one speaks.
        #[arg(long, default_value_t = 10.0)]
        turn: f64,
    },
    /// People arrive at a constant rate, stay a while and leave.
    Joins {
        /// Arrivals per second.
        #[arg(long, default_value_t = 100.0)]
        rate: f64,
        #[arg(long, default_value_t = 10)]
        people: u32,
        /// Seconds that each stays.
        #[arg(long, default_value_t = 5.0)]
        hold: f64,
    },
    /// Meetings whose people come and go.
    Churn {
        #[arg(long, default_value_t = 4)]
        rooms: u32,
        #[arg(long, default_value_t = 10)]
        people: u32,
        /// People per second who leave and are replaced.
        #[arg(long, default_value_t = 2.0)]
        rate: f64,
    },
}

impl Options {
    pub fn endpoint(&self) -> Endpoint {
        let server = &self.server;
        Endpoint {
            url: server.url.clone(),
            api_key: server.api_key.clone(),
            api_secret: server.api_secret.clone(),
            mode: server.mode,
            join_timeout: seconds(server.join_timeout),
        }
    }

    /// The trace is no part of it yet: that is a file.
    pub fn plan(&self) -> Plan {
        let base = match self.scenario {
            Scenario::Trust { .. } => Plan::simulcast(),
            _ => Plan::camera(),
        };
        let mut video = base.video;
        if let Some(top) = video.last_mut() {
            let VideoRate { bitrate_bps, fps } = *top;
            *top = VideoRate {
                bitrate_bps: self.media.bitrate.unwrap_or(bitrate_bps),
                fps: self.media.fps.filter(|fps| *fps > 0.0).unwrap_or(fps),
            };
        }
        Plan {
            video,
            packet_len_max: self.media.packet_len.clamp(200, 1_200),
            paced: self.media.paced.clamp(0.0, 1.0),
            loss: self.media.loss.clamp(0.0, 1.0),
            nack: self.media.nack,
            seed: self.run.seed,
            trace: None,
        }
    }
}

/// Anything that is no duration is none.
pub(super) fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
        let options = Options::parse_from(["consilium-load", "mesh", "--rooms", "2", "--paced", "--fps", "30"]);
        assert_eq!((options.media.paced, options.plan().video[0].fps), (0.5, 30.0));
        let trust = Options::parse_from(["consilium-load", "trust"]);
        assert_eq!(trust.plan().video.len(), 3);
    }

    #[test]
    fn nonsense_is_no_duration() {
        assert_eq!(seconds(-1.0), Duration::ZERO);
        assert_eq!(seconds(f64::NAN), Duration::ZERO);
        assert_eq!(seconds(0.5), Duration::from_millis(500));
    }
}
