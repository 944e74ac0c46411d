// A meeting goes on while strangers throw datagrams at its port.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { assertNoErrors, closeAll, launchChromium, open } from './lib/chromium.mjs';
import { sendGarbage } from './lib/garbage.mjs';
import { keepsReceiving, received, seesAndHears } from './lib/meeting.mjs';
import { startServer } from './lib/server.mjs';

const DATAGRAMS = 100_000;
const SEED = 20_200_323;
/** The kernel may drop part of a flood before the server reads it; most must arrive, or the test shows nothing. */
const COUNTED_MIN = 50_000;

let server;
let browser;
before(async () => {
  [server, browser] = await Promise.all([startServer(), launchChromium()]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

test('100,000 random, truncated and forged datagrams do not disturb a meeting, and are counted', async (t) => {
  const anna = await open(browser, server.link('abuse', 'anna'));
  const ben = await open(browser, server.link('abuse', 'ben'));
  await Promise.all([seesAndHears(anna, ['ben'], 30_000), seesAndHears(ben, ['anna'], 15_000)]);
  const dropped = await server.metric('consilium_packets_dropped_total');
  const peers = await server.metric('consilium_media_peers');
  const start = await received(ben);

  const flood = sendGarbage(server.media, DATAGRAMS, SEED);
  // Pictures and sound keep coming during the flood, again and again.
  let flooding = true;
  void flood.finally(() => {
    flooding = false;
  });
  let rounds = 0;
  do {
    await Promise.all([keepsReceiving(anna, ['ben']), keepsReceiving(ben, ['anna'])]);
    rounds += 1;
  } while (flooding);
  await flood;

  await Promise.all([keepsReceiving(anna, ['ben']), keepsReceiving(ben, ['anna'])]);
  const counted = (await server.metric('consilium_packets_dropped_total')) - dropped;
  assert.ok(counted >= COUNTED_MIN, `only ${counted} of ${DATAGRAMS} drops were counted`);
  assert.equal(await server.metric('consilium_media_peers'), peers, 'no peer appeared or vanished');
  assert.ok(server.isRunning());
  const end = await received(ben);
  t.diagnostic(`${counted} drops counted, ${rounds} rounds, ${end.anna.frames - start.anna.frames} frames decoded meanwhile`);
  assertNoErrors(anna, ben);
  await closeAll(anna, ben);
});
