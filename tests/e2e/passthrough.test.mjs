// The server never transcodes: every frame that a receiver gets is, byte for byte, one that the sender encoded.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { closeAll, launchChromium, open } from './lib/chromium.mjs';
import { hashFrames } from './lib/hashes.mjs';
import { joined, seesAndHears } from './lib/meeting.mjs';
import { startServer } from './lib/server.mjs';
import { until } from './lib/wait.mjs';

const FRAMES = { video: 45, audio: 150 };

let server;
let browser;
before(async () => {
  // As many workers as the server chooses: the rooms below go to different ones.
  const settings = { 'media.workers': undefined };
  [server, browser] = await Promise.all([startServer({ settings }), launchChromium()]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

const framesOf = (page, side) => page.evaluate((wanted) => window.__frames.filter((frame) => frame.side === wanted), side);

for (const codec of ['vp8', 'vp9', 'h264', 'av1']) {
  test(`${codec}: the receiver gets byte for byte what the sender encoded`, async (t) => {
    const anna = await open(browser, server.link(`same-${codec}`, 'anna', { codec }), { init: hashFrames });
    await joined(anna);
    const olga = await open(browser, server.link(`same-${codec}`, 'olga', {}, { canPublish: false }), { init: hashFrames });
    await seesAndHears(olga, ['anna'], 20_000);
    const count = async (kind) => (await framesOf(olga, 'received')).filter((frame) => frame.kind === kind).length;
    await until(
      'enough frames have arrived',
      async () => (await count('video')) >= FRAMES.video && (await count('audio')) >= FRAMES.audio,
      60_000,
    );
    // Received first: everything in it was sent before the sender is asked.
    const received = await framesOf(olga, 'received');
    const sent = await framesOf(anna, 'sent');
    const known = new Set(sent.map((frame) => `${frame.kind} ${frame.size} ${frame.hash}`));
    for (const kind of ['video', 'audio']) {
      const frames = received.filter((frame) => frame.kind === kind);
      const changed = frames.filter((frame) => !known.has(`${kind} ${frame.size} ${frame.hash}`));
      assert.equal(changed.length, 0, `${changed.length} of ${frames.length} ${kind} frames are not what was sent`);
      // A hash that never changes would compare nothing.
      assert.ok(new Set(frames.map((frame) => frame.hash)).size > frames.length / 3, `${kind} frames differ from each other`);
    }
    const video = received.filter((frame) => frame.kind === 'video');
    assert.ok(video.some((frame) => frame.type === 'key'), 'a keyframe was among them');
    for (const frame of video) assert.equal(frame.mimeType?.toLowerCase() ?? `video/${codec}`, `video/${codec}`);
    t.diagnostic(`${video.length} video and ${received.length - video.length} audio frames compared`);
    await closeAll(anna, olga);
  });
}
