// What a test asks of a page whose connection suffers. The functions given to `evaluate` run inside the page.

/** Notes from now on what happens to the page's meeting: events, gaps of media, messages. */
export async function watch(page) {
  await page.evaluate(() => {
    const { room } = window.__consilium;
    const seen = { events: [], messages: [], videoGapMs: 0, concealedMs: 0, started: performance.now() };
    window.__seen = seen;
    const note = (what, who) => seen.events.push({ what, who, at: performance.now() - seen.started });
    const plain = ['reconnecting', 'signalReconnecting', 'reconnected', 'disconnected', 'localTrackPublished', 'trackUnsubscribed'];
    for (const what of plain) room.on(what, () => note(what));
    for (const what of ['participantConnected', 'participantDisconnected']) room.on(what, (who) => note(what, who.identity));
    room.on('connectionQualityChanged', (quality, who) => note(`quality ${quality}`, who.identity));
    room.on('dataReceived', (bytes, who) => {
      const text = new TextDecoder().decode(bytes);
      if (text !== 'first') seen.messages.push(`${who?.identity} ${text}`);
    });
    // The stack's own clock tells when a packet last came, so that a page that is slow to ask reports no false gap. What a
    // decoder had to make up tells of sound, which may rest between words.
    const concealed = new Map();
    const look = async () => {
      for (const who of room.remoteParticipants.values()) {
        for (const publication of who.trackPublications.values()) {
          const report = await publication.track?.getRTCStatsReport();
          for (const stats of report?.values() ?? []) {
            if (stats.type !== 'inbound-rtp') continue;
            if (stats.kind === 'video' && stats.lastPacketReceivedTimestamp !== undefined) {
              seen.videoGapMs = Math.max(seen.videoGapMs, stats.timestamp - stats.lastPacketReceivedTimestamp);
            } else if (stats.kind === 'audio') {
              const samples = stats.concealedSamples - (stats.silentConcealedSamples ?? 0);
              if (!concealed.has(stats.id)) concealed.set(stats.id, samples);
              seen.concealedMs = (samples - concealed.get(stats.id)) / 48;
            }
          }
        }
      }
      setTimeout(look, 60);
    };
    look();
  });
}

export const seen = (page) => page.evaluate(() => window.__seen);

export const sid = (page) => page.evaluate(() => window.__consilium.room.localParticipant.sid);

/** The names of the events that a page noted, of one participant or of its own meeting. */
export async function events(page, who) {
  const { events: all } = await seen(page);
  return all.filter((event) => event.who === who).map((event) => event.what);
}

/** Sends numbered reliable messages, spread over `overMs`. */
export async function sendMessages(page, count, overMs) {
  await page.evaluate(
    async ([count, pause]) => {
      for (let n = 0; n < count; n += 1) {
        await window.__consilium.room.localParticipant.publishData(new TextEncoder().encode(`message ${n}`), { reliable: true });
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
    },
    [count, overMs / count],
  );
}

/** One that is not noted by [watch], whenever it arrives. */
export async function sendFirstMessage(page) {
  await page.evaluate(() => window.__consilium.room.localParticipant.publishData(new TextEncoder().encode('first'), { reliable: true }));
}

/** A moment that a fault lasts. It is the fault that takes time, not the test that waits. */
export const lasting = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
