// Somebody whose browser cannot decode the publisher's codec gets the picture in another one.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { decodes, encoded, publishCamera, withoutCodecs } from './lib/camera.mjs';
import { assertNoErrors, closeAll, launchChromium, open } from './lib/chromium.mjs';
import { startServer } from './lib/server.mjs';
import { until } from './lib/wait.mjs';

/** From asking the publisher over its encoder's start to the first pictures; browsers on two cores need a while. */
const WITHIN_MS = 20_000;
const PREFER_REGRESSION = 0;
const SIMULCAST = 1;

let server;
let browser;
before(async () => {
  [server, browser] = await Promise.all([startServer(), launchChromium()]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

const watching = { canPublish: false };

/** The client library complains of a track that has ended before it looked at it, as the page's own camera would. */
const seesTheFirst = (page) => decodes(page, 'anna', "the page's own camera arrives", ({ codec }) => codec === 'video/VP8', WITHIN_MS);

for (const [mode, spc] of [['one connection', '1'], ['two connections', '0']]) {
  test(`who cannot decode VP9 gets VP8, and who can keeps VP9: ${mode}`, async (t) => {
    const room = `both-${spc}`;
    const [anna, nina] = await Promise.all([
      open(browser, server.link(room, 'anna', { spc })),
      open(browser, server.link(room, 'nina', { spc }, watching)),
    ]);
    await seesTheFirst(nina);
    await publishCamera(anna, { videoCodec: 'vp9', backupCodecPolicy: SIMULCAST });
    await decodes(nina, 'anna', 'nina decodes VP9', ({ codec }) => codec === 'video/VP9', WITHIN_MS);
    const olga = await open(browser, server.link(room, 'olga', { spc }, watching), {
      init: withoutCodecs,
      initArgument: ['vp9', 'av1'],
    });
    const took = await decodes(olga, 'anna', 'olga decodes VP8', ({ codec }) => codec === 'video/VP8', WITHIN_MS);
    t.diagnostic(`VP8 after ${took.toFixed(0)} ms; sent: ${JSON.stringify(await encoded(anna))}`);
    await decodes(nina, 'anna', 'nina still decodes VP9', ({ codec }) => codec === 'video/VP9', 5_000);
    assertNoErrors(anna, nina, olga);
    await closeAll(anna, nina, olga);
  });
}

test('a publisher that prefers one codec sends VP8 alone once somebody needs it', async (t) => {
  const [anna, nina] = await Promise.all([
    open(browser, server.link('one', 'anna')),
    open(browser, server.link('one', 'nina', {}, watching)),
  ]);
  await seesTheFirst(nina);
  await publishCamera(anna, { videoCodec: 'vp9', backupCodecPolicy: PREFER_REGRESSION });
  await decodes(nina, 'anna', 'nina decodes VP9', ({ codec }) => codec === 'video/VP9', WITHIN_MS);
  const olga = await open(browser, server.link('one', 'olga', {}, watching), {
    init: withoutCodecs,
    initArgument: ['vp9', 'av1'],
  });
  await decodes(olga, 'anna', 'olga decodes VP8', ({ codec }) => codec === 'video/VP8', WITHIN_MS);
  await decodes(nina, 'anna', 'nina decodes VP8 too', ({ codec }) => codec === 'video/VP8', WITHIN_MS);
  const stops = async () => {
    const before = (await encoded(anna))['video/VP9'];
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    return (await encoded(anna))['video/VP9'] === before;
  };
  const { took } = await until('anna no longer encodes VP9', stops, 15_000);
  t.diagnostic(`VP9 stopped after ${took.toFixed(0)} ms`);
  assert.ok((await encoded(anna))['video/VP8'] > 0);
  assertNoErrors(anna, nina, olga);
  await closeAll(anna, nina, olga);
});
