// End-to-end encryption by the SDK: the server forwards what it cannot read, and everything else works as ever.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { closeAll, launchChromium, open } from './lib/chromium.mjs';
import { seen, sendMessages, watch } from './lib/life.mjs';
import { joined, keepsReceiving, received, seesAndHears, timeUntil } from './lib/meeting.mjs';
import { PROXIED, startProxy } from './lib/proxy.mjs';
import { startServer } from './lib/server.mjs';
import { until } from './lib/wait.mjs';

const KEY = 'correct horse battery staple';
const LATE_WITHIN_MS = 10_000;

let server;
let proxy;
let browser;
before(async () => {
  [server, browser] = await Promise.all([startServer({ settings: PROXIED }), launchChromium()]);
  proxy = await startProxy(server);
});
after(async () => {
  await browser?.close();
  await proxy?.close();
  await server?.stop();
});

const sealed = (room, identity, key, options) => `${server.link(room, identity, options)}&e2ee=${encodeURIComponent(key)}`;

/** The client protocol's VideoQuality. */
const LOW = 0;
const HIGH = 2;
/** One datagram in so many. */
const LOST_OF = 20;

async function outbound(page) {
  return page.evaluate(async () => {
    const published = [...window.__consilium.room.localParticipant.trackPublications.values()];
    const camera = published.find((one) => one.source === 'camera');
    const reports = [...((await camera.track.getRTCStatsReport())?.values() ?? [])].filter((one) => one.type === 'outbound-rtp');
    return { rids: reports.map((one) => one.rid ?? '').sort(), encrypted: published.every((one) => one.isEncrypted) };
  });
}

const notice = '[data-unreadable]';

test('with the same key everybody sees, hears and reads everybody, late or not; with another one nobody, and is told', async (t) => {
  const anna = await open(browser, sealed('sealed', 'anna', KEY, { video: 'hd' }));
  // The pages share one camera, and the first to open it says how large it is.
  await joined(anna);
  const ben = await open(browser, sealed('sealed', 'ben', KEY));
  t.diagnostic(`anna after ${(await seesAndHears(anna, ['ben'], 40_000)).toFixed(0)} ms`);
  t.diagnostic(`ben after ${(await seesAndHears(ben, ['anna'], 40_000)).toFixed(0)} ms`);
  assert.equal(new URL(anna.url()).hash, '', 'the key is not left in the address');
  assert.ok((await outbound(anna)).encrypted);

  // Reliable messages are encrypted too (`encrypted_packet`), and arrive as what they are.
  await watch(ben);
  await sendMessages(anna, 3, 30);
  await until('ben reads the messages', async () => (await seen(ben)).messages.length === 3, 5_000);
  assert.deepEqual((await seen(ben)).messages, ['anna message 0', 'anna message 1', 'anna message 2']);

  // Layers are told apart and switched at keyframes, which are asked for, by what stands outside the sealed payload.
  await until('anna sends several sizes', async () => (await outbound(anna)).rids.length >= 2, 30_000);
  t.diagnostic(`anna sends the sizes ${(await outbound(anna)).rids.join(', ')}`);
  const switched = async (quality, fits) => {
    await ben.evaluate((quality) => {
      const camera = window.__consilium.room.remoteParticipants.get('anna').getTrackPublication('camera');
      camera.setVideoQuality(quality);
    }, quality);
    const { took } = await until(`ben decodes quality ${quality}`, async () => fits((await received(ben)).anna.width), 30_000);
    await keepsReceiving(ben, ['anna']);
    t.diagnostic(`switched to quality ${quality} after ${took.toFixed(0)} ms, ${(await received(ben)).anna.width} pixels wide`);
  };
  await switched(LOW, (width) => width > 0 && width <= 400);
  await switched(HIGH, (width) => width > 400);

  const late = await open(browser, sealed('sealed', 'late', KEY));
  const took = await seesAndHears(late, ['anna', 'ben'], 40_000);
  t.diagnostic(`somebody late sees and hears both after ${took.toFixed(0)} ms`);
  assert.ok(took <= LATE_WITHIN_MS);
  await closeAll(late);

  const wrong = await open(browser, sealed('sealed', 'wrong', `${KEY}!`));
  const told = await timeUntil(wrong, notice, 'visible');
  t.diagnostic(`somebody with a wrong key is told after ${told.toFixed(0)} ms`);
  await until('the notice names both', async () => {
    const text = await wrong.locator(notice).innerText();
    return text.includes('Dr anna') && text.includes('Dr ben');
  }, 10_000);
  await ben.waitForSelector(notice);
  assert.match(await ben.locator(notice).innerText(), /Dr wrong/);
  await keepsReceiving(ben, ['anna']);
  const got = await received(wrong);
  for (const other of ['anna', 'ben']) assert.deepEqual([got[other].frames, got[other].energy], [0, 0], `nothing of ${other} is decoded`);
  await closeAll(wrong);
  // Whoever has left is no trouble any more.
  await ben.waitForSelector(notice, { state: 'detached' });

  const without = await open(browser, server.link('sealed', 'without'));
  await without.waitForSelector(notice);
  assert.match(await without.locator(notice).innerText(), /Dr anna/);
  const pictures = () => without.locator('.tile video').count();
  await until('its own picture is shown', async () => (await pictures()) > 0, 10_000);
  assert.equal(await pictures(), 1, 'its own picture alone is shown');
  await closeAll(anna, ben, without);
});

test('what is lost on the way is sent again, sealed or not', async (t) => {
  const anna = await open(browser, sealed('lossy', 'anna', KEY));
  const link = proxy.link('lossy', 'ben');
  const ben = await open(browser, `${link}&e2ee=${encodeURIComponent(KEY)}`);
  await Promise.all([seesAndHears(anna, ['ben'], 40_000), seesAndHears(ben, ['anna'], 40_000)]);
  proxy.udp.lose(LOST_OF);
  const repaired = () =>
    ben.evaluate(async () => {
      const camera = window.__consilium.room.remoteParticipants.get('anna').getTrackPublication('camera');
      const reports = [...(await camera.track.getRTCStatsReport()).values()];
      return reports.find((one) => one.type === 'inbound-rtp').retransmittedPacketsReceived ?? 0;
    });
  const before = await repaired();
  await until('packets are sent again', async () => (await repaired()) - before >= 5, 20_000);
  await Promise.all([keepsReceiving(anna, ['ben']), keepsReceiving(ben, ['anna'])]);
  t.diagnostic(`sent again to ben: ${(await repaired()) - before}`);
  await closeAll(anna, ben);
});
