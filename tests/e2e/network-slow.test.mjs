// Meetings over lines that carry less than what is sent to them.
import { test } from 'node:test';
import { behindALink, CLEAN, lineOf, OBSERVER } from './lib/behind.mjs';
import { describeStats } from './lib/network.mjs';
import { describe, quality, watch } from './lib/quality.mjs';
import { fakeSources } from './lib/sources.mjs';
import { findsNothing, until } from './lib/wait.mjs';

const meeting = behindALink();

const FALLS_WITHIN_MS = 5_000;
const RECOVERS_WITHIN_MS = 10_000;
const PAUSE_MS = 700;
const LIMITED_MS = process.env.CI === undefined ? 60_000 : 15_000;
/** Every second picture of a screen that has two per second, less one in ten for where the watched time begins and ends. */
const SCREEN_FPS_MIN = 0.9;
test('a slow receiver gets a smaller layer, the others keep theirs, and it has the large one again when it can', meeting.options, async (t) => {
  const wide = { viewport: { width: 1_920, height: 1_080 }, init: fakeSources, initArgument: { camera: { width: 960, height: 540, fps: 30 } } };
  const anna = await meeting.openNear('limit', 'anna', { page: wide });
  const ben = await meeting.openNear('limit', 'ben', { grants: OBSERVER, page: wide });
  const cara = await meeting.openBehind('limit', 'cara', { grants: OBSERVER, page: wide });
  const widthAt = async (page) => {
    const camera = (await quality(page))['anna/camera'];
    return camera === undefined || camera.paused ? 0 : camera.width;
  };
  const large = async (page) => (await widthAt(page)) >= 960;
  /** The first moment, after `start`, at which new pictures come at a width that `fits`: a pause is neither small nor large. */
  const comes = async (page, start, withinMs, fits) => {
    let seen;
    while (performance.now() - start < withinMs) {
      const { width, paused, frames } = (await quality(page))['anna/camera'];
      if (!paused && fits(width) && width === seen?.width && frames > seen.frames) return performance.now() - start;
      seen = { width, frames };
    }
    return undefined;
  };
  await Promise.all([ben, cara].map((page) => until('the large layer comes', () => large(page), 90_000)));
  const before = await widthAt(ben);
  t.diagnostic(describe(await watch(cara, ['anna/camera'], 2_000)));

  await findsNothing(t, async () => {
    await meeting.network.set({}, { down: lineOf(300_000) });
    const fell = await comes(cara, performance.now(), 20_000, (width) => width < 960);
    t.diagnostic(`limited: fell after ${fell?.toFixed(0)} ms`);
    const [atBen, atCara] = await Promise.all([watch(ben, ['anna/camera'], 3_000), watch(cara, ['anna/camera', 'anna/microphone'], 3_000)]);
    t.diagnostic(`ben ${describe(atBen)}; cara ${describe(atCara)}; ${describeStats(await meeting.network.stats())}`);

    await meeting.network.set({}, { down: CLEAN });
    const rose = await comes(cara, performance.now(), 30_000, (width) => width >= 960);
    t.diagnostic(`free again: recovered after ${rose?.toFixed(0)} ms`);
    const { fps, freezeMs, sizes } = atCara['anna/camera'];
    const wrong = [];
    if (!(fell < FALLS_WITHIN_MS && rose < RECOVERS_WITHIN_MS)) wrong.push(`fell after ${fell}, recovered after ${rose} ms`);
    if (fps < 5 || freezeMs >= PAUSE_MS || sizes.includes('paused')) wrong.push('the smaller layer pauses');
    if (atBen['anna/camera'].sizes.join() !== `${before}x540`) wrong.push(`ben's picture becomes ${atBen['anna/camera'].sizes}`);
    return wrong;
  });
});

test('on a megabit the shared screen keeps every line and the sound stays whole, and the cameras give way', meeting.options, async (t) => {
  const names = ['ben', 'cara', 'dora', 'eva'];
  // They only send: whoever decodes five pictures four times measures this machine.
  const grants = { canSubscribe: false };
  const options = { video: 'low', codec: 'vp8' };
  await Promise.all(names.map((name) => meeting.openNear('share', name, { grants, options, page: {} })));
  // 350 to 750 kbit/s; with four cameras of 120 and five microphones of 75 (Opus with RED) it is more than the line has.
  const sharing = { init: fakeSources, initArgument: { screen: { fps: 2, detail: 340 } } };
  const anna = await meeting.openNear('share', 'anna', { grants, options, page: sharing });
  await anna.getByRole('button', { name: 'Camera', exact: true }).click();
  await anna.getByRole('button', { name: 'Share screen', exact: true }).click();
  const olga = await meeting.openBehind('share', 'olga', { grants: OBSERVER, page: { viewport: { width: 1_920, height: 1_080 } } });
  const cameras = names.map((name) => `${name}/camera`);
  const sounds = [...names, 'anna'].map((name) => `${name}/microphone`);
  const tracks = ['anna/screen_share', ...cameras, ...sounds];
  const everythingArrives = async () => {
    const now = await quality(olga);
    return tracks.every((track) => !now[track]?.paused && (now[track]?.frames > 0 || now[track]?.samples > 0)) && now['anna/screen_share'].height === 1_080;
  };
  const bpsOf = (seen) => cameras.reduce((sum, track) => sum + seen[track].bps, 0);
  await findsNothing(t, async () => {
    await meeting.network.set({}, { down: CLEAN });
    await until('everything arrives', everythingArrives, 60_000);
    const free = await watch(olga, tracks, 5_000);
    t.diagnostic(`free: ${describe(free)}`);

    await meeting.network.set({}, { down: lineOf(1_000_000) });
    const settling = await watch(olga, tracks, 5_000);
    t.diagnostic(`settling: ${describe(settling)}`);
    const limited = await watch(olga, tracks, LIMITED_MS);
    t.diagnostic(`limited: ${describe(limited)}`);
    t.diagnostic(describeStats(await meeting.network.stats()));
    const { sizes, fps } = limited['anna/screen_share'];
    const wrong = sounds.filter((track) => limited[track].concealed >= 0.01).map((track) => `${track} is not whole`);
    if (sizes.join() !== '1920x1080') wrong.push(`the shared screen becomes ${sizes}`);
    if (fps < SCREEN_FPS_MIN) wrong.push(`the shared screen comes with ${fps.toFixed(2)} pictures per second`);
    if (bpsOf(limited) >= bpsOf(free)) wrong.push('the cameras do not give way');
    return wrong;
  });
});
