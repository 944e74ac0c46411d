//! A storm of requests: every subscriber asks again for [`REQUESTED`] packets at once, which leave as retransmissions (RFC 4588).
//! The floor seals as many.

use consilium_benches::meeting::{BURST, Meeting};
use consilium_benches::peer::MEDIA_HEADER_LEN;
use consilium_benches::seal::BareSeal;
use consilium_media_core::transport::identity::Identity;
use race::Race;
use std::time::{Duration, Instant};

mod race;

const SUBSCRIBERS: usize = 50;
const PAYLOAD_LEN: usize = 1_160;
/// What one NACK item can name (RFC 4585 section 6.2.1).
const REQUESTED: usize = 17;
/// Bursts between two storms: enough packets to lose, and enough time for every limit on retransmission.
const BURSTS: usize = 5;

fn storm() -> race::Timed {
    let identity = Identity::generate().expect("a certificate can be made");
    let mut meeting = Meeting::with_retransmission(identity, 1, SUBSCRIBERS, PAYLOAD_LEN).expect("peers connect");
    Box::new(move |times| {
        let mut elapsed = Duration::ZERO;
        for _ in 0..times {
            meeting.renew_consent().expect("peers stay connected");
            for burst in meeting.prepare(BURSTS).chunks_mut(BURST) {
                meeting.pass_frame_interval();
                meeting.forward_and_deliver(burst).expect("peers take what is theirs");
            }
            let mut requests = meeting.prepare_nacks(REQUESTED);
            let before = meeting.stats().rtp_retransmitted;
            let start = Instant::now();
            meeting.forward_burst(&mut requests);
            elapsed += start.elapsed();
            let sent = meeting.stats().rtp_retransmitted - before;
            assert_eq!(sent, (REQUESTED * SUBSCRIBERS) as u64, "everything that is asked for is sent again");
        }
        elapsed
    })
}

fn seal() -> race::Timed {
    // The original number stands in front of the payload.
    let bare = BareSeal::new(SUBSCRIBERS, REQUESTED, MEDIA_HEADER_LEN, PAYLOAD_LEN + 2);
    let mut bare = bare.expect("the key lengths are right");
    Box::new(move |times| {
        let start = Instant::now();
        for _ in 0..times {
            bare.run().expect("the buffer has room");
        }
        start.elapsed()
    })
}

fn main() {
    let name = format!("{SUBSCRIBERS} subscribers ask for {REQUESTED}");
    let units = (SUBSCRIBERS * REQUESTED) as u64;
    race::run("packet", vec![Race { name, units, subject: storm(), floor: seal() }]);
}
