// Two shared screens of 1080p at once: a receiver decodes both, and goes on to when ten more people come.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { choose } from './lib/camera.mjs';
import { assertNoErrors, closeAll, launchChromium, open } from './lib/chromium.mjs';
import { whenReady } from './lib/pending.mjs';
import { describe, quality, watch } from './lib/quality.mjs';
import { startServer } from './lib/server.mjs';
import { fakeSources } from './lib/sources.mjs';
import { until } from './lib/wait.mjs';

/** Plays people: real sessions and real media without a browser, so that the machine's cores are left to the pictures. */
const LOAD = process.env.CONSILIUM_LOAD_BIN ?? fileURLToPath(new URL('../../target/debug/consilium-load', import.meta.url));
const JOINERS = 10;
/** Two cores encode two such screens, at 15 pictures per second at most, and decode both: what they do not encode cannot come. */
const ARRIVING_SHARE_MIN = 0.85;
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

/** Pictures that a page has encoded of its screen so far, in the largest size. */
const encoded = (page) =>
  page.evaluate(async () => {
    const published = [...window.__consilium.room.localParticipant.trackPublications.values()];
    const report = await published.find((one) => one.source === 'screen_share').track.sender.getStats();
    const streams = [...report.values()].filter((one) => one.type === 'outbound-rtp' && one.frameHeight > 0);
    return streams.reduce((largest, one) => (one.frameHeight > largest.frameHeight ? one : largest)).framesEncoded;
  });

test('two shared screens of 1080p are decoded at once, and ten more people make neither smaller', whenReady('shares'), async (t) => {
  const room = 'shares-0';
  // They only send: whoever decodes the other's screen too measures this machine.
  const grants = { canSubscribe: false };
  const sharing = { init: fakeSources, initArgument: { screen: { fps: 16, detail: 40 } } };
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

  /** What olga decodes of each screen, and how many pictures per second its sender encodes meanwhile. */
  const compare = async (who) => {
    const before = await Promise.all(senders.map(encoded));
    const start = performance.now();
    const seen = await watch(olga, shares, WATCHED_MS);
    const seconds = (performance.now() - start) / 1_000;
    const sent = (await Promise.all(senders.map(encoded))).map((frames, index) => (frames - before[index]) / seconds);
    t.diagnostic(`${who}: ${describe(seen)}; encoded at ${sent.map((fps) => fps.toFixed(1)).join(' and ')} fps`);
    shares.forEach((share, index) => {
      assert.deepEqual(seen[share].sizes, ['1920x1080'], `${share} keeps its size with ${who}`);
      assert.ok(seen[share].fps >= ARRIVING_SHARE_MIN * sent[index], `${share} arrives as it is sent with ${who}`);
    });
  };
  await compare('three people');
  const people = peopleJoin('shares');
  try {
    const inside = async () => (await server.rooms.listParticipants(room)).filter(({ tracks }) => tracks.length > 0).length;
    const { took } = await until('ten more people speak', async () => (await inside()) === senders.length + JOINERS, JOINED_WITHIN_MS);
    t.diagnostic(`ten more people joined within ${took.toFixed(0)} ms`);
    const heard = async () => Object.entries(await quality(olga)).filter(([track, { samples }]) => track.startsWith('member-') && samples > 0).length;
    await until('olga hears them', async () => (await heard()) === JOINERS, JOINED_WITHIN_MS);
    await compare('thirteen people');
    assert.ok(people.isRunning(), 'they stayed');
  } finally {
    await people.stop();
  }
  assertNoErrors(...senders, olga);
  await closeAll(...senders, olga);
});
