//! What every member sends: rates, sizes, and how a frame's packets are spread.

use crate::trace::Trace;
use std::sync::Arc;
use std::time::Duration;

/// One video encoding.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize)]
pub struct VideoRate {
    pub bitrate_bps: u64,
    pub fps: f64,
}

impl VideoRate {
    pub fn frame_interval(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.fps)
    }

    /// Mean size of a frame's payload.
    pub fn frame_bytes(&self) -> f64 {
        self.bitrate_bps as f64 / 8.0 / self.fps
    }
}

/// Opus with 20 ms frames.
pub const AUDIO_INTERVAL: Duration = Duration::from_millis(20);
/// Opus sends a packet of silence at this interval under DTX (RFC 7587 section 3.1.3).
pub const SILENCE_INTERVAL: Duration = Duration::from_millis(400);
/// Payload of speech at 32 kbit/s, in bytes, and how far single packets are off it.
pub const SPEECH_LEN: usize = 80;
pub const SPEECH_SPREAD: usize = 20;
/// A picture's size varies by this share around its mean.
pub const FRAME_SPREAD: f64 = 0.25;
/// A keyframe is this many times a mean frame.
pub const KEYFRAME_FACTOR: f64 = 3.0;

#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct Plan {
    /// From the smallest encoding up; one without simulcast.
    pub video: Vec<VideoRate>,
    /// Largest payload of a video packet, in bytes.
    pub packet_len_max: usize,
    /// Share of the frame interval over which a frame's packets are spread; 0 sends them as one burst.
    pub paced: f64,
    /// Share of arriving packets that are thrown away unread.
    pub loss: f64,
    /// Whether what is missing is asked for again.
    pub nack: bool,
    pub seed: u64,
    /// What a browser sent: takes the place of rates and sizes.
    #[serde(skip)]
    pub trace: Option<Arc<Trace>>,
}

impl Plan {
    /// As Chromium sends a camera of 720p without simulcast: six packets of 1,000 bytes, 25 times a second.
    pub fn camera() -> Self {
        Self {
            video: vec![VideoRate { bitrate_bps: 1_200_000, fps: 25.0 }],
            packet_len_max: 1_000,
            paced: 0.0,
            loss: 0.0,
            nack: false,
            seed: 1,
            trace: None,
        }
    }

    /// Three simulcast layers as browsers send them for 720p.
    pub fn simulcast() -> Self {
        let layer = |bitrate_bps, fps| VideoRate { bitrate_bps, fps };
        Self { video: vec![layer(120_000, 15.0), layer(400_000, 20.0), layer(1_500_000, 30.0)], ..Self::camera() }
    }
}
