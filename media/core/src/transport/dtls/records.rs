//! A look at DTLS records before the engine sees them (RFC 6347 section 4.1): what may pass, and what it repeats.
//!
//! The engine keeps what it cannot use yet without a bound of its own, answers some malformed plaintext with a fatal
//! alert, and forgets its retransmission timer whenever a handshake record comes in. So it gets only what it needs.

use crate::drops::DropReason;

const RECORD_HEADER_LEN: usize = 13;
const HANDSHAKE_HEADER_LEN: usize = 12;
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
/// Largest handshake message, in bytes: a chain of certificates; browsers send one of under 1,000.
const HANDSHAKE_MESSAGE_LEN_MAX: usize = 16_384;
/// Handshake messages of one association. A full handshake has seven from each side.
const HANDSHAKE_MESSAGES_MAX: u16 = 32;
/// Records let through before the handshake ends. A handshake takes about ten; each repetition takes as many again, and
/// what the engine keeps for later is bounded by it.
const HANDSHAKE_RECORDS_MAX: usize = 512;
/// Bytes let through before the handshake ends, by the same reasoning: one takes about 5,000.
const HANDSHAKE_BYTES_MAX: usize = 256 * 1024;
/// Datagrams with handshake records let through afterwards: the peer repeats its last flight until it has ours.
const REPEATED_DATAGRAMS_MAX: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    Handshaking,
    Connected,
}

/// What one datagram holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Contents {
    /// At least one record is of the handshake.
    pub handshake: bool,
    /// Some record is encrypted.
    encrypted: bool,
    /// The highest message number among plaintext handshake records.
    pub newest_message: Option<u16>,
    records: usize,
}

impl Contents {
    /// Nothing here is newer than `seen`: the peer repeats a flight because it misses ours.
    pub(super) fn repeats(&self, seen: Option<u16>) -> bool {
        !self.encrypted && self.newest_message.is_some() && self.newest_message <= seen
    }
}

#[derive(Default)]
pub(super) struct RecordGuard {
    records: usize,
    bytes: usize,
    repeated: usize,
}

impl RecordGuard {
    /// Whether the engine may have `datagram`, and what is in it.
    pub(super) fn admit(&mut self, datagram: &[u8], stage: Stage) -> Result<Contents, DropReason> {
        let contents = inspect(datagram, stage)?;
        let within = match stage {
            Stage::Handshaking => {
                self.records += contents.records;
                self.bytes += datagram.len();
                self.records <= HANDSHAKE_RECORDS_MAX && self.bytes <= HANDSHAKE_BYTES_MAX
            }
            Stage::Connected if contents.handshake => {
                self.repeated += 1;
                self.repeated <= REPEATED_DATAGRAMS_MAX
            }
            Stage::Connected => true,
        };
        if within { Ok(contents) } else { Err(DropReason::DtlsUnexpected) }
    }
}

fn inspect(datagram: &[u8], stage: Stage) -> Result<Contents, DropReason> {
    let malformed = DropReason::DtlsMalformed;
    let mut contents = Contents::default();
    let mut rest = datagram;
    while !rest.is_empty() {
        let header = rest.get(..RECORD_HEADER_LEN).ok_or(malformed)?;
        let (kind, epoch) = (header[0], u16::from_be_bytes([header[3], header[4]]));
        let len = usize::from(u16::from_be_bytes([header[11], header[12]]));
        let body = rest.get(RECORD_HEADER_LEN..RECORD_HEADER_LEN + len).ok_or(malformed)?;
        // 254 is the major version of every DTLS; an empty record carries nothing.
        if header[1] != 254 || body.is_empty() {
            return Err(malformed);
        }
        match (epoch, kind) {
            (0, HANDSHAKE) => {
                let newest = inspect_handshake(body).ok_or(malformed)?;
                contents.newest_message = contents.newest_message.max(Some(newest));
            }
            (0, CHANGE_CIPHER_SPEC) if body == [1] => {}
            (0, ALERT) if body.len() == 2 && stage == Stage::Handshaking => {}
            (1, ALERT | HANDSHAKE | APPLICATION_DATA) => contents.encrypted = true,
            // There is no renegotiation, so there is no third epoch.
            _ => return Err(DropReason::DtlsUnexpected),
        }
        contents.handshake |= kind == HANDSHAKE;
        contents.records += 1;
        rest = rest.get(RECORD_HEADER_LEN + len..).unwrap_or_default();
    }
    if contents.records == 0 { Err(malformed) } else { Ok(contents) }
}

/// The highest message number in a plaintext handshake record, `None` if it breaks RFC 6347 section 4.2.2.
fn inspect_handshake(mut body: &[u8]) -> Option<u16> {
    let mut newest = 0;
    while !body.is_empty() {
        let header = body.get(..HANDSHAKE_HEADER_LEN)?;
        let u24 =
            |at: usize| usize::from(header[at]) << 16 | usize::from(header[at + 1]) << 8 | usize::from(header[at + 2]);
        let (length, number) = (u24(1), u16::from_be_bytes([header[4], header[5]]));
        let (offset, fragment) = (u24(6), u24(9));
        let sane = length <= HANDSHAKE_MESSAGE_LEN_MAX
            && offset + fragment <= length
            // An empty fragment of a longer message is never needed, and would be kept.
            && (fragment > 0 || length == 0)
            && number < HANDSHAKE_MESSAGES_MAX;
        if !sane {
            return None;
        }
        newest = newest.max(number);
        body = body.get(HANDSHAKE_HEADER_LEN + fragment..)?;
    }
    Some(newest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(kind: u8, epoch: u16, body: &[u8]) -> Vec<u8> {
        let mut out = vec![kind, 254, 253];
        out.extend(epoch.to_be_bytes());
        out.extend([0; 6]);
        out.extend((body.len() as u16).to_be_bytes());
        out.extend(body);
        out
    }

    fn handshake(number: u16, length: u8, offset: u8, fragment: u8, data: usize) -> Vec<u8> {
        let [high, low] = number.to_be_bytes();
        let mut body = vec![1, 0, 0, length, high, low, 0, 0, offset, 0, 0, fragment];
        body.extend(vec![7; data]);
        record(HANDSHAKE, 0, &body)
    }

    #[test]
    fn fragments_that_could_only_fill_memory_are_refused() {
        let check = |datagram: &[u8], want: bool| assert_eq!(inspect(datagram, Stage::Handshaking).is_ok(), want);
        check(&handshake(0, 10, 0, 10, 10), true);
        check(&handshake(0, 10, 5, 5, 5), true);
        check(&handshake(5, 0, 0, 0, 0), true);
        check(&handshake(0, 10, 0, 0, 0), false);
        check(&handshake(0, 10, 0, 10, 9), false);
        check(&handshake(0, 10, 6, 5, 5), false);
        check(&handshake(HANDSHAKE_MESSAGES_MAX, 10, 0, 10, 10), false);
        check(&record(HANDSHAKE, 0, &[]), false);
        check(&[], false);
    }

    #[test]
    fn plaintext_alerts_and_data_are_refused_once_connected() {
        let admitted = |datagram: Vec<u8>, stage| RecordGuard::default().admit(&datagram, stage).is_ok();
        assert!(admitted(record(ALERT, 0, &[2, 40]), Stage::Handshaking));
        assert!(!admitted(record(ALERT, 0, &[2, 40]), Stage::Connected));
        assert!(!admitted(record(APPLICATION_DATA, 0, b"forged"), Stage::Handshaking));
        assert!(!admitted(record(APPLICATION_DATA, 2, b"forged"), Stage::Connected));
        assert!(admitted(record(APPLICATION_DATA, 1, b"sealed"), Stage::Connected));
    }

    #[test]
    fn only_older_message_numbers_count_as_a_repetition() {
        let contents = inspect(&handshake(3, 4, 0, 4, 4), Stage::Handshaking).unwrap();
        assert!(contents.repeats(Some(3)) && !contents.repeats(Some(2)) && !contents.repeats(None));
        let mut with_finished = handshake(3, 4, 0, 4, 4);
        with_finished.extend(record(HANDSHAKE, 1, &[9; 40]));
        assert!(!inspect(&with_finished, Stage::Handshaking).unwrap().repeats(Some(3)));
    }

    #[test]
    fn a_flood_of_well_formed_records_meets_the_budget() {
        let mut guard = RecordGuard::default();
        let datagram = handshake(1, 200, 0, 1, 1);
        let admitted = (0..10_000).filter(|_| guard.admit(&datagram, Stage::Handshaking).is_ok()).count();
        assert_eq!(admitted, HANDSHAKE_RECORDS_MAX);
        let admitted = (0..10_000).filter(|_| guard.admit(&datagram, Stage::Connected).is_ok()).count();
        assert_eq!(admitted, REPEATED_DATAGRAMS_MAX);
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), connected: bool) {
            let stage = if connected { Stage::Connected } else { Stage::Handshaking };
            let _ = inspect(&bytes, stage);
        }
    }
}
