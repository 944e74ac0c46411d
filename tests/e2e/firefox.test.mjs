// Firefox and Chromium in one room, both ways.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { takeHostAddress } from './lib/address.mjs';
import { assertNoErrors, closeAll, launchChromium, open } from './lib/chromium.mjs';
import { launchFirefox, openInFirefox } from './lib/firefox.mjs';
import { keepsReceiving, received, seesAndHears, tileOf, timeUntil } from './lib/meeting.mjs';
import { startServer } from './lib/server.mjs';
import { takesAtMost, until } from './lib/wait.mjs';

const SEEN_AND_HEARD_WITHIN_MS = 5_000;
const NOTICED_WITHIN_MS = 1_000;
const LATE_PICTURE_WITHIN_MS = 2_000;

let host;
let server;
let chromium;
let firefox;
before(async () => {
  host = takeHostAddress();
  server = await startServer({ mediaAddress: host.address });
  chromium = await launchChromium();
  firefox = await launchFirefox();
  // Both start their capture and codecs at their first use, which takes seconds on a small machine.
  const pages = [await open(chromium, server.link('warm-up', 'anna')), await openInFirefox(firefox, server.link('warm-up', 'fritz'))];
  await Promise.all([seesAndHears(pages[0], ['fritz'], 30_000), seesAndHears(pages[1], ['anna'], 30_000)]);
  await closeAll(pages[0]);
  await pages[1].close();
});
after(async () => {
  await firefox?.close();
  await chromium?.close();
  await server?.stop();
  host?.release();
});

/** The time from opening the link until there are pictures of all `others`. */
async function firstPictures(page, others) {
  await until(
    'the first pictures',
    async () => {
      const now = await received(page);
      return others.every((other) => now[other]?.frames > 0);
    },
    30_000,
  );
  return performance.now() - page.openedAt;
}

for (const [mode, spc] of [['one peer connection', '1'], ['two peer connections', '0']]) {
  test(`Firefox and Chromium see and hear each other with ${mode}`, async (t) => {
    let room;
    let anna;
    let fritz;
    await takesAtMost(t, 'seen and heard', SEEN_AND_HEARD_WITHIN_MS, async (attempt) => {
      await Promise.all([anna && closeAll(anna), fritz?.close()]);
      room = `mixed-${spc}-${attempt}`;
      [anna, fritz] = await Promise.all([
        open(chromium, server.link(room, 'anna', { spc })),
        openInFirefox(firefox, server.link(room, 'fritz', { spc })),
      ]);
      fritz.identity = 'fritz';
      anna.identity = 'anna';
      return Math.max(...(await Promise.all([seesAndHears(fritz, ['anna'], 30_000), seesAndHears(anna, ['fritz'], 30_000)])));
    });

    const muted = `${tileOf('fritz')}[aria-label*="Microphone off"]`;
    const press = (pressed) => fritz.locator(`[aria-label="Microphone"][aria-pressed="${pressed}"]`).click();
    await takesAtMost(t, 'off', NOTICED_WITHIN_MS, async () => {
      const took = await timeUntil(anna, muted, 'attached', () => press(true));
      await timeUntil(anna, muted, 'detached', () => press(false));
      return took;
    });
    await Promise.all([keepsReceiving(fritz, ['anna']), keepsReceiving(anna, ['fritz'])]);

    // Whoever goes while their tracks are still being added makes the client library complain.
    const arrived = async (name) => {
      await timeUntil(anna, `${tileOf(name)} video`, 'visible');
      await keepsReceiving(anna, [name]);
    };
    await takesAtMost(t, 'first pictures in a late Firefox', LATE_PICTURE_WITHIN_MS, async (attempt) => {
      const greta = await openInFirefox(firefox, server.link(room, `greta${attempt}`, { spc }));
      const took = await firstPictures(greta, ['anna', 'fritz']);
      await arrived(`greta${attempt}`);
      await greta.close();
      return took;
    });
    await takesAtMost(t, 'first pictures in a late Chromium', LATE_PICTURE_WITHIN_MS, async (attempt) => {
      const carl = await open(chromium, server.link(room, `carl${attempt}`, { spc }));
      const took = await firstPictures(carl, ['anna', 'fritz']);
      await arrived(`carl${attempt}`);
      await closeAll(carl);
      return took;
    });

    await takesAtMost(t, 'removed', NOTICED_WITHIN_MS, async (attempt) => {
      const guest = await openInFirefox(firefox, server.link(room, `guest${attempt}`, { spc }));
      await arrived(`guest${attempt}`);
      const remove = () => server.rooms.removeParticipant(room, `guest${attempt}`);
      const took = await timeUntil(anna, tileOf(`guest${attempt}`), 'detached', remove);
      await guest.waitForSelector('[data-failure="removed"]', { timeout: 10_000 });
      await guest.close();
      return took;
    });

    await takesAtMost(t, 'left', NOTICED_WITHIN_MS, async (attempt) => {
      const guest = await openInFirefox(firefox, server.link(room, `leaver${attempt}`, { spc }));
      await arrived(`leaver${attempt}`);
      const leave = () => guest.locator('[aria-label="Leave"]').click();
      const took = await timeUntil(anna, tileOf(`leaver${attempt}`), 'detached', leave);
      await guest.close();
      return took;
    });
    assertNoErrors(anna);
    assert.deepEqual(fritz.errors, []);
    await closeAll(anna);
    await fritz.close();
  });
}
