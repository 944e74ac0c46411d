// The whole meeting without a mouse, and what assistive technology is told.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { assertAccessible } from './lib/axe.mjs';
import { assertNoErrors, closeAll, launchChromium, newPage, open } from './lib/chromium.mjs';
import { endedWith, joined, seesAndHears, tileOf } from './lib/meeting.mjs';
import { startServer } from './lib/server.mjs';

/** More presses than any of our pages has stops. */
const TAB_STOPS_MAX = 30;
const WIDTHS = [320, 1366, 1920];

let server;
let browser;
before(async () => {
  [server, browser] = await Promise.all([startServer(), launchChromium()]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

async function tabTo(page, selector) {
  for (let press = 0; press < TAB_STOPS_MAX; press += 1) {
    if (await page.evaluate((wanted) => document.activeElement?.matches(wanted) ?? false, selector)) return;
    await page.keyboard.press('Tab');
  }
  assert.fail(`Tab does not reach ${selector}`);
}

test('one can enter a room code, join, turn the microphone off and leave by keyboard alone', async () => {
  const page = await newPage(browser);
  await page.goto(`${server.origin}/`);
  await tabTo(page, '#code');
  await page.keyboard.type('keyboard');
  await page.keyboard.press('Enter');
  await page.waitForURL('**/m/keyboard');
  await page.waitForSelector('#name');
  await tabTo(page, '#name');
  await page.keyboard.type('Dr Mv Sp');
  await page.keyboard.press('Enter');
  await joined(page);

  const ben = await open(browser, server.link('keyboard', 'ben'));
  const mine = 'li.tile[aria-label*="Dr Mv Sp"]';
  await ben.waitForSelector(`${mine} video`);
  await page.keyboard.press('m');
  await ben.waitForSelector(`${mine}[aria-label*="Microphone off"]`);
  assert.equal(await page.getByRole('button', { name: 'Microphone', exact: true }).getAttribute('aria-pressed'), 'false');
  await tabTo(page, '[aria-label="Microphone"]');
  await page.keyboard.press('Space');
  await ben.waitForSelector(`${mine}:not([aria-label*="Microphone off"])`);

  await page.keyboard.press('p');
  await page.getByRole('heading', { name: 'Participants (2)' }).waitFor();
  await page.keyboard.press('Escape');
  await page.waitForSelector('.people', { state: 'detached' });

  await tabTo(page, '[aria-label="Leave"]');
  await page.keyboard.press('Enter');
  await endedWith(page, 'left');
  await ben.waitForSelector(mine, { state: 'detached' });
  assertNoErrors(page, ben);
  await closeAll(page, ben);
});

test('letters typed into a field are not shortcuts, and shortcuts can be turned off', async () => {
  const page = await open(browser, server.link('typing', 'anna'));
  await joined(page);
  const microphone = page.getByRole('button', { name: 'Microphone', exact: true });
  await page.waitForSelector('[aria-label="Microphone"][aria-pressed="true"]');
  await page.getByRole('button', { name: 'Settings', exact: true }).click();
  await page.locator('#during-camera').focus();
  await page.keyboard.press('m');
  assert.equal(await microphone.getAttribute('aria-pressed'), 'true');
  await page.getByLabel('Use single-key shortcuts').uncheck();
  await page.keyboard.press('Escape');
  await page.waitForSelector('dialog', { state: 'detached' });
  await page.keyboard.press('m');
  await page.keyboard.press('p');
  assert.equal(await microphone.getAttribute('aria-pressed'), 'true');
  assert.equal(await page.locator('.people').count(), 0);
  await closeAll(page);
});

test('joins and leaves are announced', async () => {
  const page = await open(browser, server.link('announce', 'anna'));
  await joined(page);
  const ben = await open(browser, server.link('announce', 'ben'));
  const log = page.getByRole('log');
  await log.getByText('Dr ben joined the meeting').waitFor({ state: 'attached' });
  await ben.getByRole('button', { name: 'Leave', exact: true }).click();
  await log.getByText('Dr ben left the meeting').waitFor({ state: 'attached' });
  await closeAll(page, ben);
});

test('axe finds nothing on any page at any width, and nothing is cut off at 320 px', async () => {
  const ben = await open(browser, server.link('axe', 'ben'));
  await joined(ben);
  for (const width of WIDTHS) {
    const page = await newPage(browser, { viewport: { width, height: 768 } });
    const check = (where) => assertAccessible(page, where);
    await page.goto(`${server.origin}/`);
    await page.waitForSelector('h1');
    await check('start page');
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.waitForSelector('.nhsuk-error-summary');
    await check('start page with an error');
    const token = server.token('axe', `anna-${width}`);
    await page.goto(`${server.origin}/m/axe?debug=1&video=low#${token}`);
    await page.waitForSelector('.preview video');
    await check('check page');
    await page.getByRole('button', { name: 'Join meeting' }).click();
    await joined(page);
    page.openedAt = performance.now();
    await seesAndHears(page, ['ben'], 30_000);
    await page.waitForSelector(`${tileOf('ben')} video`);
    await check('meeting');
    await page.getByRole('button', { name: 'Participants', exact: true }).click();
    await check('meeting with participants');
    await page.getByRole('button', { name: 'Close participants' }).click();
    await page.getByRole('button', { name: 'Settings', exact: true }).click();
    await page.waitForSelector('dialog[open]');
    await check('settings');
    await page.getByRole('button', { name: 'Close settings' }).click();
    await page.getByRole('button', { name: 'Leave', exact: true }).click();
    await endedWith(page, 'left');
    await check('end page');
    assertNoErrors(page);
    await closeAll(page);
  }
  await closeAll(ben);
});
