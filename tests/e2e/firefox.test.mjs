// Firefox and Chromium in one room, both ways.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { takeHostAddress } from './lib/address.mjs';
import { assertNoErrors, closeAll, launchChromium, open } from './lib/chromium.mjs';
import { launchFirefox, openInFirefox } from './lib/firefox.mjs';
import { keepsReceiving, seesAndHears, tileOf, timeUntil } from './lib/meeting.mjs';
import { startServer } from './lib/server.mjs';
import { takesAtMost } from './lib/wait.mjs';

const NOTICED_WITHIN_MS = 1_000;

let host;
let server;
let chromium;
let firefox;
before(async () => {
  host = takeHostAddress();
  server = await startServer({ mediaAddress: host.address });
  chromium = await launchChromium();
  firefox = await launchFirefox();
});
after(async () => {
  await firefox?.close();
  await chromium?.close();
  await server?.stop();
  host?.release();
});

for (const [mode, spc] of [['one peer connection', '1'], ['two peer connections', '0']]) {
  test(`Firefox and Chromium see and hear each other with ${mode}`, async (t) => {
    const room = `mixed-${spc}`;
    const anna = await open(chromium, server.link(room, 'anna', { spc }));
    const fritz = await openInFirefox(firefox, server.link(room, 'fritz', { spc }));
    fritz.identity = 'fritz';
    anna.identity = 'anna';
    const [inFirefox, inChromium] = await Promise.all([
      seesAndHears(fritz, ['anna'], 30_000),
      seesAndHears(anna, ['fritz'], 30_000),
    ]);
    t.diagnostic(`Firefox after ${inFirefox.toFixed(0)} ms, Chromium after ${inChromium.toFixed(0)} ms`);

    const muted = `${tileOf('fritz')}[aria-label*="Microphone off"]`;
    const press = (pressed) => fritz.locator(`[aria-label="Microphone"][aria-pressed="${pressed}"]`).click();
    await takesAtMost(t, 'off', NOTICED_WITHIN_MS, async () => {
      const took = await timeUntil(anna, muted, 'attached', () => press(true));
      await timeUntil(anna, muted, 'detached', () => press(false));
      return took;
    });
    await Promise.all([keepsReceiving(fritz, ['anna']), keepsReceiving(anna, ['fritz'])]);

    await timeUntil(anna, tileOf('fritz'), 'detached', () => fritz.locator('[aria-label="Leave"]').click());
    assertNoErrors(anna);
    assert.deepEqual(fritz.errors, []);
    await closeAll(anna);
    await fritz.close();
  });
}
