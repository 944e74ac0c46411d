// One Chromium process; every participant is a context of its own.
import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';

const QUIET = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // Every page is the one that somebody looks at: none is slowed down for being covered by another.
  '--disable-backgrounding-occluded-windows',
  '--disable-renderer-backgrounding',
  '--disable-background-timer-throttling',
];
const FAKE_DEVICES = ['--use-fake-device-for-media-stream', '--autoplay-policy=no-user-gesture-required'];
/** Answers every question for a device with yes. */
const FAKE_CONSENT = ['--use-fake-ui-for-media-stream'];

export const CHROMIUM = process.env.CHROMIUM_BIN ?? '/usr/bin/chromium';

/** `devices`: 'allowed', 'asked' (permissions are the test's), or 'none' at all. `program` starts Chromium in its own way. */
export function launchChromium({ devices = 'allowed', program = CHROMIUM, more = [] } = {}) {
  const args = {
    allowed: [...QUIET, ...FAKE_DEVICES, ...FAKE_CONSENT],
    asked: [...QUIET, ...FAKE_DEVICES],
    none: QUIET,
  }[devices];
  return chromium.launch({ executablePath: program, headless: true, args: [...args, ...more] });
}

/** A page of its own context, which remembers every error that it showed. */
export async function newPage(browser, { viewport = { width: 640, height: 480 }, init, initArgument } = {}) {
  const context = await browser.newContext({ viewport });
  const page = await context.newPage();
  page.errors = [];
  page.on('pageerror', (error) => page.errors.push(`uncaught: ${error.stack ?? error.message}`));
  page.on('console', (message) => {
    if (message.type() === 'error') page.errors.push(`console: ${message.text()}`);
  });
  if (init !== undefined) await page.addInitScript(init, initArgument);
  return page;
}

export async function open(browser, link, options) {
  const page = await newPage(browser, options);
  page.openedAt = performance.now();
  await page.goto(link, { waitUntil: 'commit' });
  return page;
}

export function assertNoErrors(...pages) {
  for (const page of pages) assert.deepEqual(page.errors, [], `errors on ${new URL(page.url()).pathname}`);
}

export async function closeAll(...pages) {
  await Promise.all(pages.map((page) => page.context().close()));
}
