// A camera in high definition is sent in several sizes, and each receiver gets the one that it chooses.
import { after, before, test } from 'node:test';
import { assertNoErrors, closeAll, launchChromium, open } from './lib/chromium.mjs';
import { received, seesAndHears } from './lib/meeting.mjs';
import { startServer } from './lib/server.mjs';
import { until } from './lib/wait.mjs';

/** The largest of the three sizes comes last, when the sender has found out that the path carries it: 20 s on an idle machine. */
const LARGE_WITHIN_MS = 120_000;
const SWITCHED_WITHIN_MS = 20_000;
/** The client protocol's VideoQuality. */
const LOW = 0;
const HIGH = 2;

let server;
let browser;
before(async () => {
  [server, browser] = await Promise.all([startServer(), launchChromium()]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

/** The sizes of the camera that have figures, once their encoders run. */
const sizes = (page) =>
  page.evaluate(async () => {
    const published = window.__consilium?.room?.localParticipant.trackPublications.values() ?? [];
    const camera = [...published].find((one) => one.source === 'camera');
    const stats = [...((await camera?.track?.getRTCStatsReport())?.values() ?? [])];
    return stats.filter((one) => one.type === 'outbound-rtp').map((one) => one.rid).toSorted().join();
  });

/** The pages share one camera, and one that opened it small a moment ago can leave it small: it is then sent in one size. */
async function openWithThreeSizes(t) {
  for (const attempt of [1, 2]) {
    const page = await open(browser, server.link('hd', 'anna', { video: 'hd', codec: 'vp8' }));
    const wanted = async () => (await sizes(page)) === 'f,h,q';
    try {
      await until('the camera has three sizes', wanted, 20_000);
      return page;
    } catch (error) {
      t.diagnostic(`attempt ${attempt} of 2: the camera's sizes are "${await sizes(page)}"`);
      await closeAll(page);
      if (attempt === 2) throw error;
    }
  }
}

test('a receiver decodes the large picture, then the small one that it asked for, then the large one again', async (t) => {
  const olga = await open(browser, server.link('hd', 'olga', { video: 'hd' }, { canPublish: false }), {
    viewport: { width: 1_920, height: 1_080 },
  });
  const anna = await openWithThreeSizes(t);
  await seesAndHears(olga, ['anna'], 30_000);

  const decodes = async (what, fits, withinMs) => {
    let before;
    const { took } = await until(`olga decodes ${what}`, async () => {
      const { width, frames } = (await received(olga)).anna;
      if (!fits(width)) {
        before = undefined;
        return false;
      }
      before ??= frames;
      return frames > before + 5;
    }, withinMs);
    t.diagnostic(`${what} after ${took.toFixed(0)} ms`);
  };
  const choose = (quality) =>
    olga.evaluate((wanted) => {
      const [anna] = window.__consilium.room.remoteParticipants.values();
      const camera = [...anna.trackPublications.values()].find((one) => one.source === 'camera');
      // The page lets the size of the tile decide; the library takes the wish of a program only where nothing else does.
      camera.track.adaptiveStreamSettings = undefined;
      camera.setVideoQuality(wanted);
    }, quality);

  await decodes('the large picture', (width) => width >= 960, LARGE_WITHIN_MS);
  await choose(LOW);
  await decodes('the small picture', (width) => width > 0 && width <= 480, SWITCHED_WITHIN_MS);
  await choose(HIGH);
  await decodes('the large picture again', (width) => width >= 960, SWITCHED_WITHIN_MS);
  assertNoErrors(anna, olga);
  await closeAll(anna, olga);
});
