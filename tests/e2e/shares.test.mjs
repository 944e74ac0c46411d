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
import { findsNothing, until } from './lib/wait.mjs';

/** Plays people: real sessions and real media without a browser, so that the machine's cores are left to the pictures. */
const LOAD = process.env.CONSILIUM_LOAD_BIN ?? fileURLToPath(new URL('../../target/debug/consilium-load', import.meta.url));
const JOINERS = 10;
/**
 * Two cores encode two such screens in two sizes each, 15 times per second at most, and decode both, beside a server, three
 * browsers and ten more people: what they do not encode cannot come. So the rate is judged by what its sender encodes: a server
 * that left out pictures, or a size, would fall short of it...
 */
const ARRIVING_SHARE_MIN = 0.9;
/** ...and one that makes senders encode less by what it asks of them, as keyframes, would not let them get back to where they were. */
const RECOVERED_SHARE_MIN = 0.8;
const RECOVERED_WITHIN_MS = 40_000;
const RECOVERY_SAMPLE_MS = 3_000;
/**
 * A server that takes a size away which is being sent fails. One whose sender gives it up, for want of processor or of room by
 * its own estimate, has nothing else to send than the smaller one: it may go over to that when the size has paused for so long,
 * which is 2 s less what two looks at its sender are apart.
 */
const SENDER_PAUSED_MS = 1_600;
const LOOK_EVERY_MS = 200;
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

/** What a page has encoded of its screen in its full size so far. */
const encoded = (page) =>
  page.evaluate(async () => {
    const published = [...window.__consilium.room.localParticipant.trackPublications.values()];
    const report = await published.find((one) => one.source === 'screen_share').track.sender.getStats();
    // Of two sizes; while it is given up it has no height.
    const full = [...report.values()].find((one) => one.type === 'outbound-rtp' && one.rid === 'h');
    return { at: full.timestamp, frames: full.framesEncoded, keyframes: full.keyFramesEncoded };
  });

/** Looks at what a page encodes until it is stopped: pictures per second, keyframes, and the longest pause of the full size. */
function watchSender(page) {
  let goesOn = true;
  const looks = (async () => {
    const all = [await encoded(page)];
    while (goesOn) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
      all.push(await encoded(page));
    }
    return all;
  })();
  return async () => {
    goesOn = false;
    const all = await looks;
    const [first, last] = [all[0], all.at(-1)];
    // A picture came in each look that has more than the one before; the window's ends count too.
    const changes = [first, ...all.filter((look, index) => index > 0 && look.frames > all[index - 1].frames), last];
    const pauseMs = Math.max(...changes.slice(1).map((look, index) => look.at - changes[index].at));
    const fps = (1_000 * (last.frames - first.frames)) / (last.at - first.at);
    return { fps, keyframes: last.keyframes - first.keyframes, pauseMs };
  };
}

/** The camera that each page begins with is turned off: two screens are enough to encode. */
async function stopCamera(page) {
  const camera = page.getByRole('button', { name: 'Camera', exact: true });
  await until('the camera is on', async () => (await camera.getAttribute('aria-pressed')) === 'true', JOINED_WITHIN_MS);
  await camera.click();
}

test('two shared screens of 1080p are decoded at once, and ten more people make neither smaller', async (t) => {
  const room = 'shares-0';
  // They only send: whoever decodes the other's screen too measures this machine.
  const grants = { canSubscribe: false };
  const sharing = { init: fakeSources, initArgument: { screen: { fps: 16, detail: 40 } } };
  const senders = [];
  for (const name of ['anna', 'ben']) {
    const page = await open(browser, server.link(room, name, {}, grants), sharing);
    await stopCamera(page);
    await page.getByRole('button', { name: 'Share screen', exact: true }).click();
    senders.push(page);
  }
  const olga = await open(browser, server.link(room, 'olga', {}, { canPublish: false }));
  const shares = ['anna/screen_share', 'ben/screen_share'];
  const whole = (now) => shares.every((share) => now[share]?.frames > 0 && now[share].height === 1_080);
  await until('both screens arrive', async () => Object.keys(await quality(olga)).filter((one) => shares.includes(one)).length === 2, FULL_SIZE_WITHIN_MS);
  for (const name of ['anna', 'ben']) await choose(olga, name, HIGH, 'screen_share');
  const areWhole = () => until('both screens arrive whole', async () => whole(await quality(olga)), FULL_SIZE_WITHIN_MS);
  /** What olga decodes of each screen, beside what its sender encodes meanwhile. */
  const compare = async (who) => {
    const senderStops = senders.map(watchSender);
    const seen = await watch(olga, shares, WATCHED_MS);
    const sent = await Promise.all(senderStops.map((stop) => stop()));
    const described = sent.map(({ fps, keyframes, pauseMs }) => `${fps.toFixed(1)} fps with ${keyframes} keyframes, the longest pause ${pauseMs.toFixed(0)} ms`);
    t.diagnostic(`${who}: ${describe(seen)}; encoded: ${described.join(' and ')}`);
    const wrong = [];
    shares.forEach((share, index) => {
      const { sizes, fps } = seen[share];
      if (sent[index].pauseMs < SENDER_PAUSED_MS && sizes.join() !== '1920x1080') wrong.push(`${share} becomes ${sizes} with ${who}`);
      if (fps < ARRIVING_SHARE_MIN * sent[index].fps) wrong.push(`${share} does not arrive as it is sent with ${who}`);
    });
    await areWhole();
    return { wrong, fps: shares.map((share) => seen[share].fps) };
  };
  /** As `compare`, where nothing is wrong: returns the pictures per second. */
  const areAsSent = async (who) => {
    let fps;
    await findsNothing(t, async () => {
      const compared = await compare(who);
      fps = compared.fps;
      return compared.wrong;
    });
    return fps;
  };
  await areWhole();
  const before = await areAsSent('three people');
  const people = peopleJoin('shares');
  try {
    const inside = async () => (await server.rooms.listParticipants(room)).filter(({ tracks }) => tracks.length > 0).length;
    const { took } = await until('ten more people speak', async () => (await inside()) === senders.length + JOINERS, JOINED_WITHIN_MS);
    t.diagnostic(`ten more people joined within ${took.toFixed(0)} ms`);
    const heard = async () => Object.entries(await quality(olga)).filter(([track, { samples }]) => track.startsWith('member-') && samples > 0).length;
    await until('olga hears them', async () => (await heard()) === JOINERS, JOINED_WITHIN_MS);
    await areAsSent('thirteen people');
    const isAsBefore = async () => {
      const now = await watch(olga, shares, RECOVERY_SAMPLE_MS);
      return shares.every((share, index) => now[share].fps >= RECOVERED_SHARE_MIN * before[index]);
    };
    const recovery = await until('both screens are as fast as before', isAsBefore, RECOVERED_WITHIN_MS);
    t.diagnostic(`as fast as with three people, or nearly, within ${(WATCHED_MS + recovery.took).toFixed(0)} ms`);
    assert.ok(people.isRunning(), 'they stayed');
  } finally {
    await people.stop();
  }
  assertNoErrors(...senders, olga);
  await closeAll(...senders, olga);
});

test('a shared screen leaves in temporal layers, also when it is published anew', async () => {
  const page = await open(browser, server.link('layers', 'anna'), { init: fakeSources, initArgument: { screen: { fps: 2, detail: 40 } } });
  await page.getByRole('button', { name: 'Share screen', exact: true }).click();
  /** Of each size; nothing while there is no sender that is not the one before. */
  const modes = () =>
    page.evaluate(() => {
      const published = [...window.__consilium.room.localParticipant.trackPublications.values()];
      const sender = published.find((one) => one.source === 'screen_share')?.track?.sender;
      return sender === undefined || sender === window.__before ? [] : sender.getParameters().encodings.map((one) => one.scalabilityMode);
    });
  const areLayered = async () => (await modes()).join() === 'L1T3,L1T3';
  await until('the screen is layered', areLayered, JOINED_WITHIN_MS);
  await page.evaluate(() => {
    const { room } = window.__consilium;
    window.__before = [...room.localParticipant.trackPublications.values()].find((one) => one.source === 'screen_share').track.sender;
    return room.simulateScenario('full-reconnect');
  });
  await until('it is layered again', areLayered, JOINED_WITHIN_MS);
  await closeAll(page);
});
