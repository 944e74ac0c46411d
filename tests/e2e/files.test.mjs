// A large file, sent as fast as the browser can: the server holds its sender back to its own rate and to the pace of the slowest
// receiver, and everybody gets it whole.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { takeHostAddress } from './lib/address.mjs';
import { assertNoErrors, closeAll, launchChromium, open } from './lib/chromium.mjs';
import { launchFirefox, openInFirefox } from './lib/firefox.mjs';
import { startServer } from './lib/server.mjs';
import { until } from './lib/wait.mjs';

const FILE_BYTES = 10_000_000;
/** What the server takes from one sender in the long run, and how far it may run ahead (media/core, transport/data). */
const BYTES_PER_S = 2_097_152;
const BURST_BYTES = BYTES_PER_S;
const SHORTEST_MS = ((FILE_BYTES - BURST_BYTES) / BYTES_PER_S) * 1_000;
/** Alone it takes a tenth more than the shortest time; on a busy machine somebody falls behind for a while, and all wait. */
const LONGEST_MS = 30_000;

let host;
let server;
let chromium;
let firefox;
before(async () => {
  host = takeHostAddress();
  server = await startServer({ mediaAddress: host.address });
  [chromium, firefox] = await Promise.all([launchChromium(), launchFirefox()]);
});
after(async () => {
  await firefox?.close();
  await chromium?.close();
  await server?.stop();
  host?.release();
});

/** Somebody is there before their data channel is open, and what is sent until then does not reach them. */
async function untilAllAreReached(pages) {
  for (const page of Object.values(pages)) {
    await page.evaluate(() => {
      window.__reached = new Set();
      window.__consilium.room.on('dataReceived', (_payload, from) => from && window.__reached.add(from.identity));
    });
  }
  const call = () => window.__consilium.room.localParticipant.publishData(new Uint8Array([1]), { reliable: true });
  const reached = () => window.__reached.size;
  const all = async () => {
    const others = Object.values(pages).length - 1;
    if ((await Promise.all(Object.values(pages).map((page) => page.evaluate(reached)))).every((n) => n === others)) return true;
    for (const page of Object.values(pages)) await page.evaluate(call);
    return false;
  };
  await until('everybody reaches everybody', all, 30_000);
}

/** Keeps count of what arrives of each sender's file, and whether each byte is the one that was sent. */
const listen = (page) =>
  page.evaluate(() => {
    window.__files = {};
    window.__consilium.room.registerByteStreamHandler('file', async (reader, from) => {
      const file = { bytes: 0, wrong: 0, whole: false };
      window.__files[from.identity] = file;
      for await (const chunk of reader) {
        for (const [index, byte] of chunk.entries()) file.wrong += byte === (file.bytes + index) % 251 ? 0 : 1;
        file.bytes += chunk.length;
      }
      file.whole = true;
    });
  });

const send = (page) =>
  page.evaluate(async (bytes) => {
    const writer = await window.__consilium.room.localParticipant.streamBytes({ topic: 'file', name: 'scan' });
    const file = Uint8Array.from({ length: bytes }, (_, index) => index % 251);
    await writer.write(file);
    await writer.close();
  }, FILE_BYTES);

test('a file of 10 MB arrives whole in Chromium and in Firefox, from either', async (t) => {
  const data = { canPublish: false, canPublishData: true };
  const anna = await open(chromium, server.link('files', 'anna', {}, data));
  const ben = await open(chromium, server.link('files', 'ben', {}, data));
  const fritz = await openInFirefox(firefox, server.link('files', 'fritz', {}, data));
  const pages = { anna, ben, fritz };
  for (const page of Object.values(pages)) {
    const others = () => page.evaluate(() => window.__consilium.room?.remoteParticipants.size === 2);
    await until('everybody is there', others, 30_000);
    await listen(page);
  }
  await untilAllAreReached(pages);
  for (const from of ['anna', 'fritz']) {
    const to = Object.keys(pages).filter((name) => name !== from);
    const fileAt = (name) => pages[name].evaluate((sender) => window.__files[sender], from);
    const start = performance.now();
    const sending = send(pages[from]);
    let arrived = [];
    const whole = async () => {
      arrived = await Promise.all(to.map(fileAt));
      return arrived.every((file) => file?.whole);
    };
    try {
      await Promise.all([sending, until(`the file of ${from} is with ${to.join(' and ')}`, whole, LONGEST_MS)]);
    } finally {
      t.diagnostic(`sessions ended so far: ${await server.metric('consilium_sessions_ended_total')}`);
      t.diagnostic(`from ${from}: ${arrived.map((file) => file?.bytes ?? 0).join(' and ')} bytes with ${to.join(' and ')}`);
    }
    const took = performance.now() - start;
    t.diagnostic(`from ${from}: ${took.toFixed(0)} ms, at least ${SHORTEST_MS.toFixed(0)} ms`);
    for (const name of to) assert.deepEqual(await fileAt(name), { bytes: FILE_BYTES, wrong: 0, whole: true }, name);
    assert.ok(took > 0.9 * SHORTEST_MS, 'the sender was held back');
  }
  assert.equal(await server.metric('consilium_sessions_ended_total'), 0, 'nobody was ended');
  assertNoErrors(anna, ben);
  assert.deepEqual(fritz.errors, []);
  await closeAll(anna, ben);
});
