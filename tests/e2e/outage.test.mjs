// What people read when the server goes away under a meeting.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { closeAll, launchChromium, open } from './lib/chromium.mjs';
import { endedWith, joined, seesAndHears } from './lib/meeting.mjs';
import { startServer } from './lib/server.mjs';

let browser;
before(async () => {
  browser = await launchChromium();
});
after(() => browser?.close());

test('a server that is lost in the midst of a meeting says that the connection was lost', async (t) => {
  const lost = await startServer();
  const anna = await open(browser, lost.link('errors', 'anna'));
  const ben = await open(browser, lost.link('errors', 'ben'));
  await seesAndHears(ben, ['anna'], 30_000);
  const start = performance.now();
  await lost.kill();
  // First that it is being tried again, then, when that has no end, that it is over.
  await anna.getByText('Your connection was interrupted').first().waitFor({ timeout: 30_000 });
  t.diagnostic(`noticed after ${(performance.now() - start).toFixed(0)} ms`);
  await Promise.all([anna, ben].map((page) => endedWith(page, 'connection-lost', 120_000)));
  t.diagnostic(`given up after ${(performance.now() - start).toFixed(0)} ms`);
  assert.equal(await anna.locator('h1').innerText(), 'You lost connection to the meeting');
  await anna.getByRole('button', { name: 'Rejoin the meeting' }).waitFor();
  await closeAll(anna, ben);
});

test('a server that is shut down says that the meeting stopped', async () => {
  const stopped = await startServer();
  const anna = await open(browser, stopped.link('errors', 'anna'));
  await joined(anna);
  await stopped.stop();
  await endedWith(anna, 'server-stopped', 30_000);
  assert.equal(await anna.locator('h1').innerText(), 'The meeting server is restarting');
  await closeAll(anna);
});
