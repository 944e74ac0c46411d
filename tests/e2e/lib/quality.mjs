// How well a page sees and hears, by the browser's own figures.

/** Whom a page receives: for each of `identity/source` (microphone, camera, screen_share) the figures since its beginning. */
export function quality(page) {
  return page.evaluate(async () => {
    const all = {};
    for (const who of window.__consilium?.room?.remoteParticipants.values() ?? []) {
      for (const publication of who.trackPublications.values()) {
        const report = await publication.track?.getRTCStatsReport();
        for (const stats of report?.values() ?? []) {
          if (stats.type !== 'inbound-rtp') continue;
          all[`${who.identity}/${publication.source}`] = {
            at: stats.timestamp,
            packets: stats.packetsReceived ?? 0,
            lost: stats.packetsLost ?? 0,
            bytes: stats.bytesReceived ?? 0,
            frames: stats.framesDecoded ?? 0,
            width: stats.frameWidth ?? 0,
            height: stats.frameHeight ?? 0,
            freezes: stats.freezeCount ?? 0,
            frozen: stats.totalFreezesDuration ?? 0,
            samples: stats.totalSamplesReceived ?? 0,
            concealed: stats.concealedSamples ?? 0,
            silent: stats.silentConcealedSamples ?? 0,
            energy: stats.totalAudioEnergy ?? 0,
            paused: publication.track?.streamState === 'paused',
          };
        }
      }
    }
    return all;
  });
}

/** Of the path in use, in ms, as the browser last measured it; `undefined` before that. */
export function roundTripMs(page) {
  return page.evaluate(async () => {
    for (const who of window.__consilium?.room?.remoteParticipants.values() ?? []) {
      for (const publication of who.trackPublications.values()) {
        for (const stats of (await publication.track?.getRTCStatsReport())?.values() ?? []) {
          if (stats.type === 'candidate-pair' && stats.nominated && stats.currentRoundTripTime > 0) return 1_000 * stats.currentRoundTripTime;
        }
      }
    }
    return undefined;
  });
}

const SAMPLE_EVERY_MS = 200;
/** The shortest pause that counts as a freeze (W3C, Identifiers for WebRTC's Statistics API, freezeCount). */
const FREEZE_MIN_MS = 150;

/**
 * Watches for so long. For each of `tracks`: pictures per second, bits per second, the share of sound that was made up, the
 * longest freeze in ms (as the W3C's statistics define a freeze), and the pictures' sizes in order.
 */
export async function watch(page, tracks, forMs) {
  const first = await quality(page);
  const seen = Object.fromEntries(tracks.map((track) => [track, { freezeMs: 0, sizes: [] }]));
  let last = first;
  const end = performance.now() + forMs;
  while (performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, SAMPLE_EVERY_MS));
    const now = await quality(page);
    for (const track of tracks) {
      const [before, after, entry] = [last[track], now[track], seen[track]];
      if (before === undefined || after === undefined) continue;
      const freezes = after.freezes - before.freezes;
      // Of several in one sample the longest has at most what the others leave.
      const longestMs = 1_000 * (after.frozen - before.frozen) - FREEZE_MIN_MS * (freezes - 1);
      if (freezes > 0) entry.freezeMs = Math.max(entry.freezeMs, longestMs);
      const size = after.paused ? 'paused' : `${after.width}x${after.height}`;
      if (entry.sizes.at(-1) !== size) entry.sizes.push(size);
    }
    last = now;
  }
  for (const track of tracks) {
    const [before, after, entry] = [first[track], last[track], seen[track]];
    if (before === undefined || after === undefined) continue;
    const seconds = (after.at - before.at) / 1_000;
    const samples = after.samples - before.samples;
    entry.fps = (after.frames - before.frames) / seconds;
    entry.bps = (8 * (after.bytes - before.bytes)) / seconds;
    entry.freezes = after.freezes - before.freezes;
    entry.concealed = samples === 0 ? 0 : (after.concealed - before.concealed) / samples;
    entry.audiblyConcealed = samples === 0 ? 0 : (after.concealed - after.silent - before.concealed + before.silent) / samples;
    entry.samples = samples;
  }
  return seen;
}

export function describe(seen) {
  const percent = (share) => `${(100 * share).toFixed(2)}%`;
  return Object.entries(seen)
    .map(([track, entry]) =>
      entry.fps === undefined
        ? `${track}: nothing`
        : track.endsWith('/microphone')
          ? `${track}: ${percent(entry.concealed)} concealed, ${percent(entry.audiblyConcealed)} of it not silent`
          : `${track}: ${entry.fps.toFixed(1)} fps, ${(entry.bps / 1e3).toFixed(0)} kbit/s, ${entry.freezes} freezes, the longest ${entry.freezeMs.toFixed(0)} ms, ${entry.sizes.join(' > ')}`,
    )
    .join('; ');
}
