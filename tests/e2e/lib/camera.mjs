// A camera in a codec of the test's choice, and what others decode of it. The functions given to `evaluate` run in the page.
import { until } from './wait.mjs';

/** Publishes a small camera with these options of the SDK in place of the one that the page sends. */
export async function publishCamera(page, options, { width = 640, height = 480, frameRate = 15 } = {}) {
  const sends = () =>
    page.evaluate(() => {
      const published = window.__consilium?.room?.localParticipant.trackPublications.values() ?? [];
      return [...published].some((one) => one.source === 'camera');
    });
  await until('the page sends its own camera', sends, 20_000);
  await page.evaluate(async () => {
    const { localParticipant } = window.__consilium.room;
    const own = [...localParticipant.trackPublications.values()].find((one) => one.source === 'camera');
    await localParticipant.unpublishTrack(own.track);
  });
  // A camera that was open a moment ago may stay as small as it was then, and is then no camera of several sizes.
  const opens = () =>
    page.evaluate(
      async ({ options, width, height, frameRate }) => {
        const video = { width: { exact: width }, height: { exact: height }, frameRate };
        const stream = await navigator.mediaDevices.getUserMedia({ video }).catch(() => undefined);
        const [track] = stream?.getVideoTracks() ?? [];
        if (track === undefined) return false;
        if (track.getSettings().width !== width) {
          track.stop();
          return false;
        }
        await window.__consilium.room.localParticipant.publishTrack(track, { source: 'camera', ...options });
        return true;
      },
      { options, width, height, frameRate },
    );
  await until(`the camera opens with ${width} x ${height}`, opens, 20_000);
}

/** What the page decodes of one participant's camera: codec, size, pictures and keyframes so far, and how long it stood still. */
export const decoded = (page, identity) =>
  page.evaluate(async (identity) => {
    const who = window.__consilium?.room?.remoteParticipants.get(identity);
    const camera = [...(who?.trackPublications.values() ?? [])].find((one) => one.source === 'camera');
    const report = [...((await camera?.track?.getRTCStatsReport())?.values() ?? [])];
    const video = report.find((one) => one.type === 'inbound-rtp');
    const codec = report.find((one) => one.id === video?.codecId)?.mimeType ?? '';
    return {
      codec: video?.framesDecoded > 0 ? codec : '',
      frames: video?.framesDecoded ?? 0,
      keyframes: video?.keyFramesDecoded ?? 0,
      width: video?.frameWidth ?? 0,
      freezes: video?.freezeCount ?? 0,
      frozenSeconds: video?.totalFreezesDuration ?? 0,
    };
  }, identity);

/** How many pictures show that it is not one alone. */
const ENOUGH = 6;

/** Waits until the page decodes pictures that `fits` accepts, a few of them in a row; returns how long that took, in ms. */
export async function decodes(page, identity, what, fits, withinMs) {
  let before;
  const { took } = await until(
    what,
    async () => {
      const now = await decoded(page, identity);
      if (!fits(now)) {
        before = undefined;
        return false;
      }
      before ??= now.frames;
      return now.frames >= before + ENOUGH;
    },
    withinMs,
  );
  return took;
}

/** As `decodes`, but others may lie between them: encoders leave out the large size of single pictures when they are late. */
export async function decodesMany(page, identity, what, fits, withinMs) {
  const seen = new Set();
  const { took } = await until(
    what,
    async () => {
      const now = await decoded(page, identity);
      if (fits(now)) seen.add(now.frames);
      return seen.size >= ENOUGH;
    },
    withinMs,
  );
  return took;
}

/** Asks for a quality (0 low, 1 medium, 2 high) of one participant's camera, or screen, as a program does. */
export const choose = (page, identity, quality, source = 'camera') =>
  page.evaluate(
    ({ identity, quality, source }) => {
      const who = window.__consilium.room.remoteParticipants.get(identity);
      const picture = [...who.trackPublications.values()].find((one) => one.source === source);
      // The page lets the size of the tile decide; the library takes the wish of a program only where nothing else does.
      picture.track.adaptiveStreamSettings = undefined;
      picture.setVideoQuality(quality);
    },
    { identity, quality, source },
  );

/** What the page sends of its camera, codec by codec: pictures encoded so far. */
export const encoded = (page) =>
  page.evaluate(async () => {
    const published = window.__consilium.room.localParticipant.trackPublications.values();
    const { track } = [...published].find((one) => one.source === 'camera');
    const senders = [track.sender, ...[...track.simulcastCodecs.values()].map((one) => one.sender)];
    const all = {};
    for (const sender of senders.filter((one) => one !== undefined)) {
      const report = [...(await sender.getStats()).values()];
      for (const stats of report.filter((one) => one.type === 'outbound-rtp')) {
        const codec = report.find((one) => one.id === stats.codecId)?.mimeType ?? 'none';
        all[codec] = (all[codec] ?? 0) + (stats.framesEncoded ?? 0);
      }
    }
    return all;
  });

/** For a page's start: a browser that has never heard of these codecs. */
export function withoutCodecs(codecs) {
  const known = ({ mimeType }) => !codecs.some((codec) => mimeType.toLowerCase() === `video/${codec}`);
  for (const name of ['createOffer', 'createAnswer']) {
    const create = RTCPeerConnection.prototype[name];
    RTCPeerConnection.prototype[name] = function (...args) {
      for (const transceiver of this.getTransceivers()) {
        if (transceiver.receiver.track.kind === 'video' && !transceiver.stopped)
          transceiver.setCodecPreferences(RTCRtpReceiver.getCapabilities('video').codecs.filter(known));
      }
      return create.apply(this, args);
    };
  }
}
