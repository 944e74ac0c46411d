//! The RTP header (RFC 3550 section 5.1) and its extension block (RFC 8285): a view to read one, a writer to compose one.
//!
//! Refuses to know what an extension means (`ext`), what a payload holds (`codec`) and whether a packet was authenticated.

use super::{WireError, u16_at, u32_at};
use crate::ids::{PayloadType, RtpTime, SeqNo, Ssrc};

/// The fixed part of the header, in bytes.
pub const RTP_HEADER_LEN: usize = 12;
/// Extension elements that a composed header may carry. We know ten extensions; the rest is room to pass others through.
pub const ELEMENTS_MAX: usize = 32;

const VERSION_BITS: u8 = 2 << 6;
/// In the first byte.
pub const PADDING_BIT: u8 = 1 << 5;
const EXTENSION_BIT: u8 = 1 << 4;
/// RFC 8285 section 4.2.
const ONE_BYTE_PROFILE: u16 = 0xbede;
/// RFC 8285 section 4.3; the low four bits are "appbits" that a receiver ignores.
const TWO_BYTE_PROFILE: u16 = 0x1000;
/// Profile and length in words.
const EXTENSION_PREAMBLE_LEN: usize = 4;

/// A received packet whose header, extension block and padding are consistent with its length.
#[derive(Clone, Copy, Debug)]
pub struct RtpPacket<'a> {
    bytes: &'a [u8],
    fields: HeaderFields,
    header_len: usize,
    padding_len: usize,
}

impl<'a> RtpPacket<'a> {
    pub fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        let header_len = header_len(bytes)?;
        let fields = HeaderFields::read(bytes).ok_or(WireError::Truncated)?;
        let padded = bytes.first().is_some_and(|b| b & PADDING_BIT != 0);
        let padding_len = match bytes.last() {
            Some(&count) if padded => usize::from(count),
            _ => 0,
        };
        // The count includes itself, so that zero is as wrong as more than there is.
        if padded && (padding_len == 0 || padding_len > bytes.len() - header_len) {
            return Err(WireError::Padding);
        }
        Ok(Self { bytes, fields, header_len, padding_len })
    }

    /// The fixed header's fields, as [`write_header`] takes them.
    pub fn fields(&self) -> HeaderFields {
        self.fields
    }

    /// The whole packet, padding included.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub fn marker(&self) -> bool {
        self.fields.marker
    }

    pub fn payload_type(&self) -> PayloadType {
        self.fields.payload_type
    }

    pub fn seq(&self) -> SeqNo {
        self.fields.seq
    }

    pub fn timestamp(&self) -> RtpTime {
        self.fields.timestamp
    }

    pub fn ssrc(&self) -> Ssrc {
        self.fields.ssrc
    }

    /// Fixed header, CSRC list and extension block together, in bytes.
    pub fn header_len(&self) -> usize {
        self.header_len
    }

    /// Without padding; empty for a packet of padding alone.
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(self.header_len..self.bytes.len() - self.padding_len).unwrap_or_default()
    }

    /// The padding with its count, in bytes.
    pub fn padding_len(&self) -> usize {
        self.padding_len
    }

    /// The elements of the extension block. An unknown profile yields none.
    pub fn extensions(&self) -> ExtensionIter<'a> {
        extension_block(self.bytes.get(..self.header_len).unwrap_or_default())
    }

    /// The first element with that id.
    pub fn extension(&self, id: u8) -> Option<&'a [u8]> {
        self.extensions().find(|(found, _)| *found == id).map(|(_, value)| value)
    }
}

/// Where the payload begins, from the header alone: on a protected packet the padding cannot be checked yet.
pub fn header_len(packet: &[u8]) -> Result<usize, WireError> {
    let first = *packet.first().ok_or(WireError::Truncated)?;
    if first & 0xc0 != VERSION_BITS {
        return Err(WireError::Version);
    }
    let mut len = RTP_HEADER_LEN + 4 * usize::from(first & 0x0f);
    if first & EXTENSION_BIT != 0 {
        let words = u16_at(packet, len + 2).ok_or(WireError::Truncated)?;
        len += EXTENSION_PREAMBLE_LEN + 4 * usize::from(words);
    }
    if len > packet.len() { Err(WireError::Truncated) } else { Ok(len) }
}

/// `header` ends where the extension block does.
fn extension_block(header: &[u8]) -> ExtensionIter<'_> {
    let first = header.first().copied().unwrap_or_default();
    let start = RTP_HEADER_LEN + 4 * usize::from(first & 0x0f);
    let profile = u16_at(header, start).filter(|_| first & EXTENSION_BIT != 0);
    let form = match profile {
        Some(ONE_BYTE_PROFILE) => Some(Form::OneByte),
        Some(profile) if profile & 0xfff0 == TWO_BYTE_PROFILE => Some(Form::TwoByte),
        _ => None,
    };
    let rest = form.and_then(|_| header.get(start + EXTENSION_PREAMBLE_LEN..)).unwrap_or_default();
    ExtensionIter { form: form.unwrap_or(Form::OneByte), rest }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    OneByte,
    TwoByte,
}

impl Form {
    /// Room that an element takes before its value.
    fn prefix_len(self) -> usize {
        match self {
            Self::OneByte => 1,
            Self::TwoByte => 2,
        }
    }
}

/// Elements of an extension block (RFC 8285), in their order: id and value. A truncated element ends it. Every step
/// consumes at least a byte, so the packet's length bounds it.
#[derive(Clone, Debug)]
pub struct ExtensionIter<'a> {
    form: Form,
    rest: &'a [u8],
}

impl<'a> Iterator for ExtensionIter<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        // A zero byte is padding in both forms.
        loop {
            let (&first, after) = self.rest.split_first()?;
            self.rest = after;
            if first == 0 {
                continue;
            }
            let (id, len) = match self.form {
                Form::OneByte => (first >> 4, usize::from(first & 0x0f) + 1),
                Form::TwoByte => {
                    let (&len, after) = self.rest.split_first()?;
                    self.rest = after;
                    (first, usize::from(len))
                }
            };
            // RFC 8285: id 15 (section 4.2) and id 0 with a length (section 4.1.2) end the block in the one-byte form.
            let split =
                self.rest.split_at_checked(len).filter(|_| self.form == Form::TwoByte || (1..=14).contains(&id));
            let Some((value, after)) = split else {
                self.rest = &[];
                return None;
            };
            self.rest = after;
            return Some((id, value));
        }
    }
}

/// The fixed header without version, padding, CSRC and extension bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeaderFields {
    pub marker: bool,
    pub payload_type: PayloadType,
    pub seq: SeqNo,
    pub timestamp: RtpTime,
    pub ssrc: Ssrc,
}

impl HeaderFields {
    fn read(bytes: &[u8]) -> Option<Self> {
        let second = *bytes.get(1)?;
        Some(Self {
            marker: second & 0x80 != 0,
            payload_type: PayloadType::from_wire(second),
            seq: SeqNo::new(u16_at(bytes, 2)?),
            timestamp: RtpTime::new(u32_at(bytes, 4)?),
            ssrc: Ssrc::new(u32_at(bytes, 8)?),
        })
    }
}

/// Elements that can be written: id 0 is padding, and a length is one byte. Others are left out, as are those beyond
/// [`ELEMENTS_MAX`].
fn writable<'e>(elements: &'e [(u8, &'e [u8])]) -> impl Iterator<Item = (u8, &'e [u8])> {
    elements.iter().copied().filter(|(id, value)| *id != 0 && value.len() <= 255).take(ELEMENTS_MAX)
}

/// The form that takes all elements, and their unpadded size; `None` when there are none.
fn layout(elements: &[(u8, &[u8])]) -> Option<(Form, usize)> {
    let mut form = Form::OneByte;
    let mut count = 0;
    let mut values_len = 0;
    for (id, value) in writable(elements) {
        if id > 14 || value.is_empty() || value.len() > 16 {
            form = Form::TwoByte;
        }
        count += 1;
        values_len += value.len();
    }
    (count > 0).then_some((form, values_len + count * form.prefix_len()))
}

/// What [`write_header`] will write, in bytes.
pub fn header_size(elements: &[(u8, &[u8])]) -> usize {
    size(layout(elements))
}

fn size(layout: Option<(Form, usize)>) -> usize {
    RTP_HEADER_LEN + layout.map_or(0, |(_, len)| EXTENSION_PREAMBLE_LEN + len.next_multiple_of(4))
}

/// Writes a header without CSRC list and padding bit at the start of `out`, and returns its length, [`header_size`]; 0,
/// with nothing written, when `out` is shorter than that. The one-byte form is used unless an element needs the other.
pub fn write_header(out: &mut [u8], fields: &HeaderFields, elements: &[(u8, &[u8])]) -> usize {
    let layout = layout(elements);
    let size = size(layout);
    let Some(out) = out.get_mut(..size) else { return 0 };
    let Some((fixed, block)) = out.split_first_chunk_mut::<RTP_HEADER_LEN>() else { return 0 };
    fixed[0] = if layout.is_some() { VERSION_BITS | EXTENSION_BIT } else { VERSION_BITS };
    fixed[1] = fields.payload_type.get() | if fields.marker { 0x80 } else { 0 };
    fixed[2..4].copy_from_slice(&fields.seq.get().to_be_bytes());
    fixed[4..8].copy_from_slice(&fields.timestamp.get().to_be_bytes());
    fixed[8..12].copy_from_slice(&fields.ssrc.get().to_be_bytes());
    let Some((form, len)) = layout else { return size };
    let profile = match form {
        Form::OneByte => ONE_BYTE_PROFILE,
        Form::TwoByte => TWO_BYTE_PROFILE,
    };
    block[..2].copy_from_slice(&profile.to_be_bytes());
    // ELEMENTS_MAX times 257 bytes is far below what the 16-bit count of words can say.
    block[2..4].copy_from_slice(&(len.div_ceil(4) as u16).to_be_bytes());
    let mut at = EXTENSION_PREAMBLE_LEN;
    for (id, value) in writable(elements) {
        match form {
            Form::OneByte => block[at] = id << 4 | (value.len() - 1) as u8,
            Form::TwoByte => block[at..at + 2].copy_from_slice(&[id, value.len() as u8]),
        }
        at += form.prefix_len();
        block[at..at + value.len()].copy_from_slice(value);
        at += value.len();
    }
    block[at..].fill(0);
    size
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rtc::shared::marshal::Unmarshal;

    const FIELDS: HeaderFields = HeaderFields {
        marker: true,
        payload_type: PayloadType::from_wire(96),
        seq: SeqNo::new(0x1234),
        timestamp: RtpTime::new(0xdead_beef),
        ssrc: Ssrc::new(0xcafe_babe),
    };

    fn compose(elements: &[(u8, &[u8])], payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0xff; header_size(elements)];
        assert_eq!(write_header(&mut packet, &FIELDS, elements), packet.len());
        packet.extend_from_slice(payload);
        packet
    }

    fn elements_of(packet: &[u8]) -> Vec<(u8, Vec<u8>)> {
        RtpPacket::parse(packet).unwrap().extensions().map(|(id, value)| (id, value.to_vec())).collect()
    }

    /// A packet whose extension block is `profile` and `block`.
    fn with_block(profile: u16, block: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x90, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        packet.extend(profile.to_be_bytes());
        packet.extend(((block.len() / 4) as u16).to_be_bytes());
        packet.extend(block);
        packet.extend(b"payload");
        packet
    }

    #[test]
    fn a_header_without_extensions_is_twelve_bytes() {
        let packet = compose(&[], b"x");
        assert_eq!(packet[..2], [0x80, 0x80 | 96]);
        let view = RtpPacket::parse(&packet).unwrap();
        assert_eq!((view.header_len(), view.payload(), view.fields()), (12, &b"x"[..], FIELDS));
        assert_eq!(view.extensions().count(), 0);
    }

    #[test]
    fn the_one_byte_form_is_chosen_where_it_can_carry_every_element() {
        let profile = |elements: &[(u8, &[u8])]| u16_at(&compose(elements, &[]), 12).unwrap();
        assert_eq!(profile(&[(1, &[7]), (14, &[0; 16])]), ONE_BYTE_PROFILE);
        assert_eq!(profile(&[(1, &[7]), (15, &[1])]), TWO_BYTE_PROFILE);
        assert_eq!(profile(&[(1, &[])]), TWO_BYTE_PROFILE);
        assert_eq!(profile(&[(1, &[0; 17])]), TWO_BYTE_PROFILE);
    }

    #[test]
    fn what_cannot_be_written_is_left_out() {
        assert_eq!(header_size(&[(0, &[1]), (1, &[0; 256])]), RTP_HEADER_LEN);
        let many: Vec<(u8, &[u8])> = (0..100).map(|_| (255, &[9; 255][..])).collect();
        assert_eq!(elements_of(&compose(&many, &[])).len(), ELEMENTS_MAX);
    }

    #[test]
    fn a_short_buffer_is_left_untouched() {
        let mut out = [7; 15];
        assert_eq!(write_header(&mut out, &FIELDS, &[(1, &[1])]), 0);
        assert_eq!(out, [7; 15]);
    }

    #[test]
    fn one_byte_elements_follow_rfc_8285() {
        // Padding stands between elements; id 15, and id 0 with a length, end the block.
        let check = |end: u8| {
            let block = [0x10, 0xaa, 0, 0x21, 1, 2, 0, 0, 0x30, 3, end, 9, 9, 0x40, 4, 0];
            assert_eq!(elements_of(&with_block(0xbede, &block)), [(1, vec![0xaa]), (2, vec![1, 2]), (3, vec![3])]);
        };
        check(0xf0);
        check(0x01);
    }

    #[test]
    fn two_byte_elements_follow_rfc_8285() {
        let block = [1, 0, 0, 15, 1, 7, 200, 3, 1, 2, 3, 0];
        assert_eq!(elements_of(&with_block(0x1003, &block)), [(1, vec![]), (15, vec![7]), (200, vec![1, 2, 3])]);
    }

    #[test]
    fn a_truncated_element_ends_the_block_and_an_unknown_profile_has_none() {
        assert_eq!(elements_of(&with_block(0xbede, &[0x10, 1, 0x2f, 0])), [(1, vec![1])]);
        assert_eq!(elements_of(&with_block(0x1000, &[1, 1, 5, 2])), [(1, vec![5])]);
        assert_eq!(elements_of(&with_block(0x4242, &[0x10, 1, 0, 0])), []);
    }

    #[test]
    fn the_payload_excludes_padding() {
        let mut packet = compose(&[(1, &[7])], &[1, 2, 3, 0, 0, 3]);
        packet[0] |= PADDING_BIT;
        let view = RtpPacket::parse(&packet).unwrap();
        assert_eq!((view.payload(), view.padding_len()), (&[1, 2, 3][..], 3));
        *packet.last_mut().unwrap() = 6;
        assert_eq!(RtpPacket::parse(&packet).unwrap().payload(), []);
        for wrong in [0, 7, 255] {
            *packet.last_mut().unwrap() = wrong;
            assert_eq!(RtpPacket::parse(&packet).unwrap_err(), WireError::Padding);
        }
        // Under encryption the last byte means nothing yet.
        assert_eq!(header_len(&packet), Ok(20));
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        let check = |bytes: &[u8], want: WireError| {
            assert_eq!(RtpPacket::parse(bytes).unwrap_err(), want);
            assert_eq!(header_len(bytes), Err(want));
        };
        check(&[], WireError::Truncated);
        check(&[0x80; 11], WireError::Truncated);
        check(&[0x40; 12], WireError::Version);
        check(&[0x81; 15], WireError::Truncated);
        check(&[0x90; 15], WireError::Truncated);
        check(&[0x90; 100], WireError::Truncated);
    }

    #[test]
    fn the_csrc_list_is_skipped() {
        let mut packet = with_block(0xbede, &[0x10, 5, 0, 0]);
        packet.splice(12..12, [9; 8]);
        packet[0] |= 2;
        assert_eq!(elements_of(&packet), [(1, vec![5])]);
        assert_eq!(RtpPacket::parse(&packet).unwrap().payload(), b"payload");
    }

    fn element() -> impl Strategy<Value = (u8, Vec<u8>)> {
        // Three of four are such that the one-byte form can carry them.
        let parts = (0..4u8, 1..=255u8, prop::collection::vec(any::<u8>(), 1..=60));
        parts.prop_map(|(kind, id, mut value)| match kind {
            0 => (id, value.split_off(1)),
            _ => {
                value.truncate(16);
                (id % 14 + 1, value)
            }
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            elements in prop::collection::vec(element(), 0..8),
            payload in prop::collection::vec(any::<u8>(), 0..50),
        ) {
            let borrowed: Vec<(u8, &[u8])> = elements.iter().map(|(id, v)| (*id, &v[..])).collect();
            let packet = compose(&borrowed, &payload);
            let view = RtpPacket::parse(&packet).unwrap();
            prop_assert_eq!(view.fields(), FIELDS);
            prop_assert_eq!(view.payload(), &payload[..]);
            prop_assert_eq!(view.header_len(), header_size(&borrowed));
            prop_assert_eq!(elements_of(&packet), elements);
        }

        #[test]
        fn the_library_reads_what_we_write(
            elements in prop::collection::btree_map(1..=14u8, prop::collection::vec(any::<u8>(), 1..=16), 0..6),
            payload in prop::collection::vec(any::<u8>(), 1..50),
        ) {
            let borrowed: Vec<(u8, &[u8])> = elements.iter().map(|(id, v)| (*id, &v[..])).collect();
            let packet = compose(&borrowed, &payload);
            let theirs = rtc::rtp::Packet::unmarshal(&mut &packet[..]).unwrap();
            prop_assert_eq!(theirs.header.sequence_number, FIELDS.seq.get());
            prop_assert_eq!(theirs.header.timestamp, FIELDS.timestamp.get());
            prop_assert_eq!(theirs.header.ssrc, FIELDS.ssrc.get());
            prop_assert_eq!(theirs.header.payload_type, FIELDS.payload_type.get());
            prop_assert_eq!(theirs.header.marker, FIELDS.marker);
            prop_assert_eq!(&theirs.payload[..], &payload[..]);
            for (id, value) in &elements {
                let read = theirs.header.get_extension(*id);
                prop_assert_eq!(read.as_deref(), Some(&value[..]));
            }
        }

        #[test]
        fn no_bytes_make_the_parser_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), likely: bool) {
            if likely && bytes.len() > 16 {
                bytes[0] = 0x90 | bytes[0] & 0x21;
                let start = 12 + 4 * usize::from(bytes[0] & 0x0f);
                if bytes.len() > start + 4 {
                    bytes[start..start + 3].copy_from_slice(&[0xbe, 0xde, 0]);
                    bytes[start + 3] %= 16;
                }
            }
            if let Ok(packet) = RtpPacket::parse(&bytes) {
                prop_assert_eq!(packet.header_len() + packet.payload().len() + packet.padding_len(), bytes.len());
                let used: usize = packet.extensions().map(|(_, value)| value.len() + 1).sum();
                prop_assert!(used <= packet.header_len());
            }
        }
    }
}
