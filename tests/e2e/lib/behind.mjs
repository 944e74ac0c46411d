// The setting of the tests over bad networks: a server, a browser near it, and one behind a link.
import { after, afterEach, before, beforeEach } from 'node:test';
import { launchChromium, open } from './chromium.mjs';
import { seesAndHears } from './meeting.mjs';
import { describeStats, launchBehind, startNetwork, startReachableServer, whyNoNetworks } from './network.mjs';
import { describe, watch } from './quality.mjs';
import { fakeSources } from './sources.mjs';

export const HD = { video: 'hd', codec: 'vp8' };
export const OBSERVER = { canPublish: false };
export const CLEAN = { rate_bps: null, queue_bytes: 62_500, delay_ms: 0, jitter_ms: 0, loss: 'none' };
/** A line as people have it at home: what waits for 300 ms is queued, the rest is dropped. */
export const lineOf = (rate_bps) => ({ rate_bps, queue_bytes: Math.round((rate_bps / 8) * 0.3) });

/** Two layers of simulcast, which two browsers can encode and decode on two cores. */
const CAMERA = { init: fakeSources, initArgument: { camera: { width: 640, height: 360, fps: 30 } } };

/** For the cases of one file: starts what they need, and gives each a clean network. */
export function behindALink() {
  const why = whyNoNetworks();
  /** The options of each test. */
  const setting = { options: { skip: why } };
  before(async () => {
    if (why) return;
    // One by one: what has been started when another fails is stopped.
    setting.server = await startReachableServer();
    setting.network = await startNetwork();
    setting.near = await launchChromium();
    setting.behind = await launchBehind(setting.network, setting.server);
  });
  beforeEach(async () => {
    await setting.network?.set(CLEAN);
  });
  // Also those of a test that failed: the next one wants the machine for itself.
  afterEach(async () => {
    const contexts = [setting.near, setting.behind].flatMap((browser) => browser?.contexts() ?? []);
    await Promise.all(contexts.map((context) => context.close()));
  });
  after(async () => {
    await Promise.all([setting.near?.close(), setting.behind?.close()]);
    await setting.network?.stop();
    await setting.server?.stop();
  });

  setting.openNear = (room, name, { options = HD, grants = {}, page = CAMERA } = {}) =>
    open(setting.near, setting.server.link(room, name, options, grants), page);
  setting.openBehind = (room, name, { options = HD, grants = {}, page = CAMERA } = {}) =>
    open(setting.behind, setting.server.linkOutside(room, name, options, grants), page);
  /** Anna is near, ben behind the link; each sees and hears the other. */
  setting.two = async (room) => {
    const [anna, ben] = await Promise.all([setting.openNear(room, 'anna'), setting.openBehind(room, 'ben')]);
    await Promise.all([seesAndHears(anna, ['ben'], 30_000), seesAndHears(ben, ['anna'], 30_000)]);
    return { anna, ben };
  };
  /** Watches both at the same time, and says what came. */
  setting.watchBoth = async (t, { anna, ben }, forMs) => {
    const tracksOf = (who) => [`${who}/camera`, `${who}/microphone`];
    const [atAnna, atBen] = await Promise.all([watch(anna, tracksOf('ben'), forMs), watch(ben, tracksOf('anna'), forMs)]);
    t.diagnostic(`at anna: ${describe(atAnna)}; at ben: ${describe(atBen)}; ${describeStats(await setting.network.stats())}`);
    return { ...atAnna, ...atBen };
  };
  return setting;
}
