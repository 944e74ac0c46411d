//! What the floor sends: video frames as trains, and Opus packets between them, in the mix of the load generator's plan.

use crate::load::plan::{AUDIO_INTERVAL, FRAME_SPREAD, Plan, SPEECH_LEN, SPEECH_SPREAD, VideoRate};
use crate::random::Random;
use serde::Serialize;

/// Longest payload of a packet that is asked for.
const PAYLOAD_LEN_MAX: usize = 1_400;
/// Packets of one frame at most: as many as one train may have.
const FRAME_PACKETS_MAX: usize = 40;

/// One measurement's traffic.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Shape {
    pub subscribers: usize,
    /// Subscribers that get the same frame: all in a lecture, the others of the room in a meeting.
    pub fan_out: usize,
    /// Packets of each video frame, and payload of each packet, in bytes. What is not given varies as in the plan.
    pub video_packets_per_train: Option<usize>,
    pub video_len: Option<usize>,
    /// Share of audio among all packets.
    pub audio_share: f64,
    /// Whether the kernel segments trains; without, each packet is a system call.
    pub offload: bool,
}

impl Default for Shape {
    /// The load generator's lecture.
    fn default() -> Self {
        Self {
            subscribers: 200,
            fan_out: 200,
            video_packets_per_train: None,
            video_len: None,
            audio_share: audio_share(&Plan::camera()),
            offload: true,
        }
    }
}

/// Share of audio among the packets of one who sends as planned.
fn audio_share(plan: &Plan) -> f64 {
    let audio = 1.0 / AUDIO_INTERVAL.as_secs_f64();
    let video: f64 = plan.video.iter().map(|rate| rate.fps * packets_per_frame(rate, plan.packet_len_max)).sum();
    audio / (audio + video)
}

/// Mean over the sizes that a frame may have.
fn packets_per_frame(rate: &VideoRate, packet_len_max: usize) -> f64 {
    const STEPS: usize = 1_000;
    let bytes = |step: usize| rate.frame_bytes() * spread(step as f64 / STEPS as f64);
    let packets: f64 = (0..=STEPS).map(|step| (bytes(step) / packet_len_max as f64).ceil()).sum();
    packets / (STEPS + 1) as f64
}

/// A frame's size as a multiple of the mean, for `at` between 0 and 1.
fn spread(at: f64) -> f64 {
    1.0 + FRAME_SPREAD * (2.0 * at - 1.0)
}

/// Packets of equal length that leave together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame {
    pub packets: usize,
    pub payload_len: usize,
}

/// The endless, seeded sequence of frames.
pub struct Frames {
    shape: Shape,
    rate: Option<VideoRate>,
    packet_len_max: usize,
    /// Audio packets that are due, by the share.
    audio_owed: f64,
    random: Random,
}

impl Frames {
    pub fn new(shape: &Shape) -> Self {
        let plan = Plan::camera();
        Self {
            shape: shape.clone(),
            rate: plan.video.first().copied(),
            packet_len_max: plan.packet_len_max,
            audio_owed: 0.0,
            random: Random::new(1),
        }
    }

    pub fn next_frame(&mut self) -> Frame {
        if self.audio_owed >= 1.0 {
            self.audio_owed -= 1.0;
            let payload_len = SPEECH_LEN - SPEECH_SPREAD + self.random.below(2 * SPEECH_SPREAD + 1);
            return Frame { packets: 1, payload_len };
        }
        let frame = self.video();
        let share = self.shape.audio_share.clamp(0.0, 0.99);
        self.audio_owed += frame.packets as f64 * share / (1.0 - share);
        frame
    }

    fn video(&mut self) -> Frame {
        let at = self.random.below(1_001) as f64 / 1_000.0;
        let bytes = self.rate.map_or(0.0, |rate| rate.frame_bytes()) * spread(at);
        let len_max = self.shape.video_len.unwrap_or(self.packet_len_max);
        let planned = (bytes / len_max.max(1) as f64).ceil() as usize;
        let packets = self.shape.video_packets_per_train.unwrap_or(planned).clamp(1, FRAME_PACKETS_MAX);
        // With single packets in place of frames, each has the length that it would have had in its frame.
        let payload_len = self.shape.video_len.unwrap_or_else(|| (bytes as usize).div_ceil(planned.max(1)));
        Frame { packets, payload_len: payload_len.clamp(1, PAYLOAD_LEN_MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(shape: &Shape) -> Vec<Frame> {
        let mut frames = Frames::new(shape);
        (0..10_000).map(|_| frames.next_frame()).collect()
    }

    #[test]
    fn the_mix_is_that_of_the_plan() {
        let frames = draw(&Shape::default());
        let packets: usize = frames.iter().map(|frame| frame.packets).sum();
        let audio = frames.iter().filter(|frame| frame.payload_len <= SPEECH_LEN + SPEECH_SPREAD).count();
        let video = packets - audio;
        let per_frame = video as f64 / (frames.len() - audio) as f64;
        assert!((6.0..7.0).contains(&per_frame), "{per_frame}");
        // 25 frames and 50 packets of audio in a second.
        assert!((audio as f64 / video as f64 - 50.0 / (25.0 * per_frame)).abs() < 0.01);
        assert!(frames.iter().all(|frame| frame.payload_len <= 1_000), "no payload is longer than planned");
    }

    #[test]
    fn what_is_asked_for_is_sent() {
        let shape =
            Shape { video_packets_per_train: Some(40), video_len: Some(1_160), audio_share: 0.0, ..Shape::default() };
        assert!(draw(&shape).iter().all(|frame| *frame == Frame { packets: 40, payload_len: 1_160 }));
    }
}
