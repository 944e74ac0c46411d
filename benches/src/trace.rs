//! A trace of what a browser sent: when each packet left, in which frame, how long it was. See `traces/capture.mjs`.

use std::time::Duration;

/// Packets that leave within this time of a burst's first belong to it: Chromium sends nine frames of ten in less.
pub const BURST_SPAN: Duration = Duration::from_micros(300);
/// A minute of the busiest browser.
const PACKETS_MAX: usize = 100_000;
const STREAMS_MAX: usize = 16;
/// Longest payload that fits a datagram of 1,500 bytes with header and tag.
const PAYLOAD_LEN_MAX: usize = 1_400;

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line} of the trace cannot be used: {cause}")]
pub struct TraceError {
    pub line: usize,
    pub cause: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TracePacket {
    /// Since the start of the trace.
    pub at: Duration,
    /// Index of its stream.
    pub stream: usize,
    pub marker: bool,
    pub frame: u64,
    pub payload_len: usize,
}

/// A frame as a sender needs it: browsers split frames into packets that differ by a byte at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScriptFrame {
    pub at: Duration,
    pub packets: usize,
    pub bytes: usize,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Trace {
    /// Names, such as `camera`, `camera q` or `microphone`.
    pub streams: Vec<String>,
    /// In the order in which they left.
    pub packets: Vec<TracePacket>,
}

impl Trace {
    pub fn read(text: &str) -> Result<Self, TraceError> {
        let mut trace = Self::default();
        for (index, line) in text.lines().enumerate() {
            let fail = |cause| TraceError { line: index + 1, cause };
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match line.strip_prefix("stream ") {
                Some(stream) => trace.read_stream(stream).map_err(fail)?,
                None => trace.read_packet(line).map_err(fail)?,
            }
        }
        Ok(trace)
    }

    fn read_stream(&mut self, text: &str) -> Result<(), &'static str> {
        let (index, name) = text.split_once(' ').ok_or("a stream has an index and a name")?;
        if index.parse() != Ok(self.streams.len()) || self.streams.len() >= STREAMS_MAX {
            return Err("streams are counted from 0, and there are 16 at most");
        }
        self.streams.push(name.to_owned());
        Ok(())
    }

    fn read_packet(&mut self, text: &str) -> Result<(), &'static str> {
        let numbers: Option<Vec<u64>> = text.split(' ').map(|field| field.parse().ok()).collect();
        let Some(&[at_us, stream, marker, frame, payload_len]) = numbers.as_deref() else {
            return Err("a packet has five numbers");
        };
        let (stream, payload_len) = (stream as usize, payload_len as usize);
        if stream >= self.streams.len() || payload_len > PAYLOAD_LEN_MAX {
            return Err("the stream is unknown or the payload too long");
        }
        let at = Duration::from_micros(at_us);
        if self.packets.len() >= PACKETS_MAX || self.packets.last().is_some_and(|last| at < last.at) {
            return Err("there are too many packets, or they are not in order");
        }
        self.packets.push(TracePacket { at, stream, marker: marker == 1, frame, payload_len });
        Ok(())
    }

    /// Packets that left together, in order; never empty.
    pub fn bursts(&self) -> impl Iterator<Item = &[TracePacket]> {
        let mut rest = self.packets.as_slice();
        std::iter::from_fn(move || {
            let start = rest.first()?.at;
            let end = rest.iter().position(|packet| packet.at - start > BURST_SPAN).unwrap_or(rest.len());
            let (burst, after) = rest.split_at(end);
            rest = after;
            Some(burst)
        })
    }

    /// What one stream sent, frame by frame; empty when there is no stream of this name.
    pub fn script(&self, name: &str) -> Vec<ScriptFrame> {
        let mut script: Vec<(u64, ScriptFrame)> = Vec::new();
        let stream = self.streams.iter().position(|known| known == name);
        for packet in self.packets.iter().filter(|packet| Some(packet.stream) == stream) {
            match script.last_mut().filter(|(frame, _)| *frame == packet.frame) {
                Some((_, frame)) => {
                    frame.packets += 1;
                    frame.bytes += packet.payload_len;
                }
                None => {
                    let (at, bytes) = (packet.at, packet.payload_len);
                    script.push((packet.frame, ScriptFrame { at, packets: 1, bytes }));
                }
            }
        }
        script.into_iter().map(|(_, frame)| frame).collect()
    }

    /// Frames of one stream.
    pub fn frames(&self, stream: usize) -> u64 {
        self.packets.iter().filter(|packet| packet.stream == stream).map(|packet| packet.frame + 1).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# A comment.\nstream 0 camera\nstream 1 microphone\n\
                        0 0 0 0 900\n100 0 1 0 901\n250 1 0 0 80\n5000 0 1 1 700\n";

    #[test]
    fn what_left_within_a_burst_s_span_is_one_burst() {
        let trace = Trace::read(TEXT).unwrap();
        assert_eq!(trace.streams, ["camera", "microphone"]);
        let bursts: Vec<usize> = trace.bursts().map(<[TracePacket]>::len).collect();
        assert_eq!(bursts, [3, 1]);
        assert_eq!((trace.frames(0), trace.frames(1), trace.frames(2)), (2, 1, 0));
        assert!(!trace.packets[0].marker && trace.packets[1].marker);
        let frame = |at_us, packets, bytes| ScriptFrame { at: Duration::from_micros(at_us), packets, bytes };
        assert_eq!(trace.script("camera"), [frame(0, 2, 1_801), frame(5_000, 1, 700)]);
        assert_eq!(trace.script("screen_share"), []);
    }

    #[test]
    fn a_line_that_cannot_be_used_is_named() {
        let line = |text: &str| Trace::read(text).unwrap_err().line;
        assert_eq!(line("# A.\n0 0 0 0 900\n"), 2, "no such stream");
        assert_eq!(line(&format!("{TEXT}4000 0 0 2 900\n")), 8, "out of order");
        assert_eq!(line(&format!("{TEXT}6000 0 0 2 9000\n")), 8, "too long");
        assert_eq!(line("stream 1 camera\n"), 1);
        assert_eq!(line("stream 0 camera\n1 2 3\n"), 2);
    }

    #[test]
    fn the_traces_beside_the_benches_can_be_read() {
        for (text, streams) in
            [(include_str!("../traces/one-layer.txt"), 3), (include_str!("../traces/simulcast.txt"), 5)]
        {
            let trace = Trace::read(text).unwrap();
            assert_eq!(trace.streams.len(), streams);
            assert!(trace.packets.len() > 2_000);
            assert!(trace.packets.last().unwrap().at > Duration::from_secs(9));
        }
    }
}
