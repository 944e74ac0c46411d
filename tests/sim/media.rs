//! What model clients send: VP8 and audio whose content says which part of what it is, so that a receiver can tell a whole
//! frame from one that only looks whole.

use consilium_media_core::codec::vp8;

/// What a packet carries, wherever its numbers were changed on the way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mark {
    pub(crate) track: u32,
    pub(crate) layer: u8,
    /// From 0 on in its layer; of audio, the packet's number.
    pub(crate) frame: u32,
    /// The frame that this one is predicted from; itself for a keyframe.
    pub(crate) reference: u32,
    pub(crate) index: u16,
    pub(crate) count: u16,
}

pub(crate) const MARK_LEN: usize = 17;

impl Mark {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.track.to_be_bytes());
        out.push(self.layer);
        out.extend(self.frame.to_be_bytes());
        out.extend(self.reference.to_be_bytes());
        out.extend(self.index.to_be_bytes());
        out.extend(self.count.to_be_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let half = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        Some(Self {
            track: word(0)?,
            layer: *bytes.get(4)?,
            frame: word(5)?,
            reference: word(9)?,
            index: half(13)?,
            count: half(15)?,
        })
    }
}

/// The numbers in a VP8 descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Picture {
    pub(crate) id: u16,
    pub(crate) tl0: u8,
    pub(crate) tid: u8,
    /// Depends on the base layer alone.
    pub(crate) sync: bool,
    pub(crate) key: bool,
}

/// RFC 7741: a descriptor with 15-bit picture id, TL0PICIDX and TID, the frame header where a frame starts (RFC 6386 section
/// 9.1), and the mark.
pub(crate) fn video_payload(picture: Picture, mark: &Mark, len: usize) -> Vec<u8> {
    let start = mark.index == 0;
    let mut payload = Vec::with_capacity(len.max(40));
    payload.extend([0x80 | if start { 0x10 } else { 0 }, 0xe0]);
    payload.extend((picture.id | 0x8000).to_be_bytes());
    payload.extend([picture.tl0, picture.tid << 6 | if picture.sync { 0x20 } else { 0 }]);
    match (start, picture.key) {
        (true, true) => payload.extend([0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01]),
        (true, false) => payload.extend([0x11, 0x02, 0x00]),
        (false, _) => {}
    }
    mark.write(&mut payload);
    payload.resize(len.max(payload.len()), mark.frame as u8);
    payload
}

pub(crate) fn audio_payload(mark: &Mark, len: usize) -> Vec<u8> {
    let mut payload = Vec::with_capacity(len.max(MARK_LEN));
    mark.write(&mut payload);
    payload.resize(len.max(MARK_LEN), mark.frame as u8);
    payload
}

/// RFC 2198: 20 ms of audio, and before it the 20 ms before, if any.
pub(crate) fn redundant_payload(payload_type: u8, before: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(before.len() + payload.len() + 5);
    if !before.is_empty() {
        out.extend((1 << 31 | u32::from(payload_type) << 24 | 960 << 10 | before.len() as u32).to_be_bytes());
    }
    out.push(payload_type);
    out.extend(before);
    out.extend(payload);
    out
}

/// A video payload as a receiver reads it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct VideoPart {
    pub(crate) start: bool,
    pub(crate) picture: Picture,
    pub(crate) mark: Mark,
}

pub(crate) fn read_video(payload: &[u8]) -> Option<VideoPart> {
    let descriptor = vp8::parse(payload)?;
    let header_len = match (descriptor.start_of_frame, descriptor.is_keyframe) {
        (true, true) => 10,
        (true, false) => 3,
        (false, _) => 0,
    };
    let mark = Mark::read(payload.get(descriptor.len + header_len..)?)?;
    let picture = Picture {
        id: descriptor.picture_id?.0,
        tl0: descriptor.tl0_pic_idx?,
        tid: descriptor.tid?,
        sync: descriptor.layer_sync,
        key: descriptor.is_keyframe,
    };
    Some(VideoPart { start: descriptor.start_of_frame, picture, mark })
}

pub(crate) fn read_audio(payload: &[u8]) -> Option<Mark> {
    Mark::read(payload)
}

#[test]
fn what_was_written_is_read() {
    let mark = Mark { track: 7, layer: 2, frame: 70_000, reference: 69_999, index: 0, count: 3 };
    for (key, index) in [(true, 0), (false, 0), (false, 2)] {
        let picture = Picture { id: 0x7fff, tl0: 255, tid: 2, sync: true, key };
        let mark = Mark { index, ..mark };
        let part = read_video(&video_payload(picture, &mark, 600)).unwrap();
        assert_eq!(part, VideoPart { start: index == 0, picture, mark });
    }
    assert_eq!(read_audio(&audio_payload(&mark, 80)), Some(mark));
}
