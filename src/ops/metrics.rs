//! Which metrics there are, and where their values come from. Labels are closed sets: never a room, peer or address.

use super::exposition::Exposition;
use consilium_media_core::control::SilentCause;
use consilium_media_net::handle::MediaHandle;
use consilium_media_net::{DELAY_BUCKETS, DelayHistogram, NetStats};
use consilium_signaling::rooms::Rooms;
use consilium_signaling::stats::Snapshot;

/// One figure of a worker.
type Read = fn(&NetStats) -> u64;

/// Where the figures are read from at each scrape.
#[derive(Clone)]
pub struct Sources {
    pub media: MediaHandle,
    pub rooms: Rooms,
}

impl Sources {
    pub(super) fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        let workers: Vec<NetStats> = self.media.workers().map(|worker| self.media.stats(worker)).collect();
        let mut exposition = Exposition::default();
        signaling(&mut exposition, &self.rooms.stats().snapshot());
        traffic(&mut exposition, &workers);
        quality(&mut exposition, &workers);
        delay(&mut exposition, &workers);
        exposition.render()
    }
}

fn signaling(out: &mut Exposition, stats: &Snapshot) {
    out.gauge("consilium_rooms", "Rooms that exist.", stats.rooms as f64);
    out.gauge("consilium_participants", "Participants in all rooms.", stats.participants as f64);
    out.gauge("consilium_sessions", "Open signalling connections.", stats.sessions as f64);
    out.labelled(
        "consilium_joins_total",
        "Requests to join, by result.",
        stats.joins.iter().map(|(result, count)| (("result", result.name()), *count)),
    );
    out.labelled(
        "consilium_sessions_ended_total",
        "Signalling connections that ended, by reason.",
        stats.session_ends.iter().map(|(end, count)| (("reason", end.name()), *count)),
    );
    let directions = |received, sent| [(("direction", "received"), received), (("direction", "sent"), sent)];
    out.labelled(
        "consilium_signal_messages_total",
        "Signalling messages.",
        directions(stats.messages_received, stats.messages_sent),
    );
    out.labelled(
        "consilium_signal_bytes_total",
        "Bytes of signalling messages.",
        directions(stats.bytes_received, stats.bytes_sent),
    );
    out.counter("consilium_signal_malformed_total", "Signalling input that could not be read.", stats.malformed);
    out.labelled(
        "consilium_data_packets_dropped_total",
        "Packets on data channels that went nowhere, by reason.",
        stats.data_dropped.iter().map(|(reason, count)| (("reason", reason.name()), *count)),
    );
    out.counter(
        "consilium_signal_events_dropped_total",
        "Loudness reports and messages on data channels that a busy room did not take.",
        stats.events_dropped,
    );
    out.counter(
        "consilium_room_notices_lost_total",
        "Notices of rooms that a part of the application was too slow to take.",
        stats.notices_lost,
    );
}

fn traffic(out: &mut Exposition, workers: &[NetStats]) {
    let sum = |read: Read| workers.iter().map(read).sum::<u64>();
    out.gauge("consilium_media_peers", "Media connections.", sum(|stats| stats.core.peers) as f64);
    out.gauge(
        "consilium_media_peers_connected",
        "Media connections with keys in place.",
        sum(|stats| stats.core.connected_peers) as f64,
    );
    out.gauge("consilium_tracks", "Published tracks.", sum(|stats| stats.core.tracks) as f64);
    out.gauge("consilium_subscriptions", "Subscriptions to tracks.", sum(|stats| stats.core.subscriptions) as f64);
    let counters: [(&str, &str, Read); 11] = [
        ("consilium_datagrams_received_total", "Datagrams received.", |stats| stats.core.datagrams_received),
        ("consilium_received_bytes_total", "Bytes of datagrams received.", |stats| stats.core.bytes_received),
        ("consilium_datagrams_sent_total", "Datagrams sent.", |stats| stats.datagrams_sent),
        ("consilium_sent_bytes_total", "Bytes of datagrams sent.", |stats| stats.bytes_sent),
        ("consilium_rtp_packets_received_total", "Authentic RTP packets received.", |stats| stats.core.rtp_received),
        ("consilium_rtp_packets_forwarded_total", "RTP packets forwarded, once per subscriber.", |stats| {
            stats.core.rtp_forwarded
        }),
        ("consilium_rtp_forwarded_bytes_total", "Bytes of forwarded RTP packets.", |stats| {
            stats.core.rtp_forwarded_bytes
        }),
        ("consilium_rtp_packets_retransmitted_total", "RTP packets sent again on request.", |stats| {
            stats.core.rtp_retransmitted
        }),
        (
            "consilium_rtp_packets_recovered_total",
            "Lost packets of redundant audio, taken out of later ones.",
            |stats| stats.core.rtp_recovered,
        ),
        ("consilium_nacks_sent_total", "Requests to publishers to send packets again.", |stats| stats.core.nacks_sent),
        ("consilium_keyframe_requests_sent_total", "Requests to publishers for a keyframe.", |stats| {
            stats.core.keyframe_requests_sent
        }),
    ];
    for (name, help, read) in counters {
        out.counter(name, help, sum(read));
    }
}

fn quality(out: &mut Exposition, workers: &[NetStats]) {
    let dropped = sum_by_label(workers.iter().flat_map(|stats| stats.dropped().map(|(reason, n)| (reason.label(), n))));
    out.labelled(
        "consilium_packets_dropped_total",
        "Datagrams, packets and commands dropped, by reason.",
        dropped.into_iter().map(|(label, count)| (("reason", label), count)),
    );
    let failed =
        sum_by_label(workers.iter().flat_map(|stats| stats.send_failures.iter().map(|(cause, n)| (cause.label(), n))));
    out.labelled(
        "consilium_send_failures_total",
        "Datagrams that the kernel did not take, by cause.",
        failed.into_iter().map(|(label, count)| (("cause", label), count)),
    );
    let sum = |read: Read| workers.iter().map(read).sum::<u64>();
    out.gauge(
        "consilium_audio_paths_silent",
        "Ways from somebody who speaks to somebody who should hear it that are silent now.",
        sum(|stats| stats.core.audio_paths_silent) as f64,
    );
    let fell_silent = |cause: SilentCause| {
        workers.iter().map(|stats| stats.core.audio_paths_fell_silent[cause as usize]).sum::<u64>()
    };
    out.labelled(
        "consilium_audio_paths_silent_total",
        "Ways of audio that fell silent, by where they were interrupted.",
        SilentCause::ALL.map(|cause| (("cause", cause.label()), fell_silent(cause))),
    );
    out.counter(
        "consilium_send_trains_total",
        "System calls that sent several datagrams.",
        sum(|stats| stats.trains_sent),
    );
    out.counter(
        "consilium_receive_batches_total",
        "System calls that received datagrams.",
        sum(|stats| stats.receive_batches),
    );
    out.counter(
        "consilium_receive_errors_total",
        "System calls that failed to receive.",
        sum(|stats| stats.receive_errors),
    );
    out.per_worker(
        "consilium_media_load_ratio",
        "Share of its time that a media worker works.",
        workers.iter().map(|stats| stats.load),
    );
    let all = |has: fn(&NetStats) -> bool| if workers.iter().all(has) { 1.0 } else { 0.0 };
    out.gauge(
        "consilium_segmentation_offload",
        "1 where several datagrams leave in one system call, 0 where the host cannot.",
        all(|stats| stats.segmentation_offload),
    );
    out.gauge(
        "consilium_receive_offload",
        "1 where the kernel hands over several datagrams as one, 0 where the host cannot.",
        all(|stats| stats.receive_offload),
    );
}

fn delay(out: &mut Exposition, workers: &[NetStats]) {
    let mut total = DelayHistogram::default();
    for worker in workers {
        let delay = &worker.forwarding_delay;
        for (sum, count) in total.buckets.iter_mut().zip(delay.buckets) {
            *sum += count;
        }
        total.sum_seconds += delay.sum_seconds;
    }
    let bounds = DELAY_BUCKETS.iter().map(std::time::Duration::as_secs_f64);
    let beyond = total.buckets[DELAY_BUCKETS.len()];
    out.histogram(
        "consilium_forwarding_delay_seconds",
        "From before a batch is received to after its packets are sent on.",
        bounds.zip(total.buckets),
        beyond,
        total.sum_seconds,
    );
}

/// Adds up the workers, keeping the order of first appearance.
fn sum_by_label(values: impl Iterator<Item = (&'static str, u64)>) -> Vec<(&'static str, u64)> {
    let mut sums: Vec<(&'static str, u64)> = Vec::new();
    for (label, count) in values {
        match sums.iter_mut().find(|(known, _)| *known == label) {
            Some((_, sum)) => *sum += count,
            None => sums.push((label, count)),
        }
    }
    sums
}
