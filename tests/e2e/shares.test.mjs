// Two shared screens of 1080p at once: a receiver decodes both, and goes on to when ten more people come.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { choose } from './lib/camera.mjs';
import { assertNoErrors, closeAll, launchChromium, open } from './lib/chromium.mjs';
import { describe, quality, watch } from './lib/quality.mjs';
import { startServer } from './lib/server.mjs';
import { fakeSources } from './lib/sources.mjs';
import { until } from './lib/wait.mjs';

/** Plays people: real sessions and real media without a browser, so that the machine's cores are left to the pictures. */
const LOAD = process.env.CONSILIUM_LOAD_BIN ?? fileURLToPath(new URL('../../target/debug/consilium-load', import.meta.url));
const JOINERS = 10;
/** The requirement; the page sends no more than 15. */
const FPS_MIN = 15;
/** A picture is 67 ms, and the ends of the watch fall between two. */
const FPS_ERROR = 0.2;
/** Ten more people's media is encrypted on the cores that encode and decode here. */
const FPS_SHARE_MIN = 0.85;
/** Encoders begin small and rise with what they believe the path to carry. */
const FULL_SIZE_WITHIN_MS = 60_000;
const JOINED_WITHIN_MS = 30_000;
const WATCHED_MS = 10_000;
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

/** Ten people join the room `NAME-0`, speak, and receive everything, until they are stopped. */
function peopleJoin(name) {
  const options = ['mesh', '--rooms', '1', '--people', String(JOINERS), '--no-video', '--room', name, '--duration', '120'];
  const { key, secret } = server.credentials;
  const env = { ...process.env, CONSILIUM_API_KEY: key, CONSILIUM_API_SECRET: secret };
  const child = spawn(LOAD, [...options, '--url', server.origin], { env, stdio: 'ignore' });
  const ended = new Promise((resolve) => child.once('exit', resolve).once('error', resolve));
  return {
    isRunning: () => child.exitCode === null && child.signalCode === null,
    stop: () => {
      child.kill('SIGTERM');
      return ended;
    },
  };
}

test('two shared screens of 1080p are decoded at once, and ten more people make neither smaller', async (t) => {
  const room = 'shares-0';
  // They only send: whoever decodes the other's screen too measures this machine.
  const grants = { canSubscribe: false };
  const sharing = { init: fakeSources, initArgument: { screen: { fps: 20, detail: 100 } } };
  const senders = [];
  for (const name of ['anna', 'ben']) {
    const page = await open(browser, server.link(room, name, {}, grants), sharing);
    await page.getByRole('button', { name: 'Camera', exact: true }).click();
    await page.getByRole('button', { name: 'Share screen', exact: true }).click();
    senders.push(page);
  }
  const olga = await open(browser, server.link(room, 'olga', {}, { canPublish: false }));
  const shares = ['anna/screen_share', 'ben/screen_share'];
  const whole = (now) => shares.every((share) => now[share]?.frames > 0 && now[share].height === 1_080);
  await until('both screens arrive', async () => Object.keys(await quality(olga)).filter((one) => shares.includes(one)).length === 2, FULL_SIZE_WITHIN_MS);
  for (const name of ['anna', 'ben']) await choose(olga, name, HIGH, 'screen_share');
  await until('both screens arrive whole', async () => whole(await quality(olga)), FULL_SIZE_WITHIN_MS);

  const alone = await watch(olga, shares, WATCHED_MS);
  t.diagnostic(`three people: ${describe(alone)}`);
  const people = peopleJoin('shares');
  try {
    const inside = async () => (await server.rooms.listParticipants(room)).filter(({ tracks }) => tracks.length > 0).length;
    const { took } = await until('ten more people speak', async () => (await inside()) === senders.length + JOINERS, JOINED_WITHIN_MS);
    t.diagnostic(`ten more people joined within ${took.toFixed(0)} ms`);
    const heard = async () => Object.entries(await quality(olga)).filter(([track, { samples }]) => track.startsWith('member-') && samples > 0).length;
    await until('olga hears them', async () => (await heard()) === JOINERS, JOINED_WITHIN_MS);
    const together = await watch(olga, shares, WATCHED_MS);
    t.diagnostic(`thirteen people: ${describe(together)}`);
    assert.ok(people.isRunning(), 'they stayed');
    for (const share of shares) {
      assert.deepEqual([...alone[share].sizes, ...together[share].sizes], ['1920x1080', '1920x1080'], `${share} stays as large as it is`);
      assert.ok(alone[share].fps >= FPS_MIN - FPS_ERROR, `${share} comes at ${alone[share].fps.toFixed(1)} pictures per second`);
      assert.ok(together[share].fps >= FPS_SHARE_MIN * alone[share].fps, `${share} goes on at ${together[share].fps.toFixed(1)} pictures per second`);
    }
  } finally {
    await people.stop();
  }
  assertNoErrors(...senders, olga);
  await closeAll(...senders, olga);
});
