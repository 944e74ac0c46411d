// A server that is restarted under a meeting: everybody is back without doing anything.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { closeAll, launchChromium, open } from './lib/chromium.mjs';
import { seesAndHears } from './lib/meeting.mjs';
import { startServer } from './lib/server.mjs';
import { takesAtMost } from './lib/wait.mjs';

const BACK_WITHIN_MS = 10_000;

let browser;
before(async () => {
  browser = await launchChromium();
});
after(() => browser?.close());

for (const [what, signal, spc] of [['fails and comes back', 'SIGKILL', '1'], ['is restarted in order', 'SIGTERM', '0']]) {
  test(`a server that ${what} finds everybody again within 10 s`, async (t) => {
    const server = await startServer();
    const anna = await open(browser, server.link('restart', 'anna', { spc }));
    const ben = await open(browser, server.link('restart', 'ben', { spc }));
    await Promise.all([seesAndHears(anna, ['ben'], 30_000), seesAndHears(ben, ['anna'], 30_000)]);
    await takesAtMost(t, 'from the end of the server to pictures and sound both ways', BACK_WITHIN_MS, async () => {
      const start = performance.now();
      await server.restart(signal);
      t.diagnostic(`the server itself was back after ${(performance.now() - start).toFixed(0)} ms`);
      for (const page of [anna, ben]) page.openedAt = start;
      await Promise.all([seesAndHears(anna, ['ben'], 60_000), seesAndHears(ben, ['anna'], 60_000)]);
      return performance.now() - start;
    });
    for (const page of [anna, ben]) assert.equal(await page.getByText('Your connection was interrupted').count(), 0);
    await closeAll(anna, ben);
    await server.stop();
  });
}
