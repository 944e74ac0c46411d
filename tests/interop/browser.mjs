// Drives one Chromium page for a test in another language: JSON lines in, JSON lines out.
//
// {"do":"open","url":U}                                     opens the page
// {"do":"receives","frames":N,"energy":E,"width":W,"height":H}  waits until the page's own WebRTC statistics say so
// {"do":"shows","text":T}                                   waits until T can be read on the page
// {"do":"errors"}                                           the errors that the page threw or logged
//
// What is received is read from the browser's RTCPeerConnections, not from the page, so that the page cannot be wrong
// about it. The end of the input ends the browser.

import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const WAIT_MS = 30_000;
const POLL_MS = 100;
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--use-fake-device-for-media-stream',
  '--use-fake-ui-for-media-stream',
  '--autoplay-policy=no-user-gesture-required',
];

/** Runs in the page before its own code: remembers every peer connection. */
function rememberConnections() {
  const Native = window.RTCPeerConnection;
  window.interopConnections = [];
  window.RTCPeerConnection = class extends Native {
    constructor(...options) {
      super(...options);
      window.interopConnections.push(this);
    }
  };
}

/** Runs in the page: the sum of what all connections received. */
async function received() {
  const sum = { frames: 0, energy: 0, sizes: [] };
  for (const connection of window.interopConnections) {
    for (const stats of (await connection.getStats()).values()) {
      if (stats.type !== 'inbound-rtp') continue;
      if (stats.kind === 'audio') sum.energy += stats.totalAudioEnergy ?? 0;
      if (stats.kind === 'video' && stats.framesDecoded > 0) {
        sum.frames += stats.framesDecoded;
        sum.sizes.push([stats.frameWidth, stats.frameHeight]);
      }
    }
  }
  return sum;
}

class Driver {
  errors = [];

  async open({ url }) {
    this.browser = await chromium.launch({
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      args: FLAGS,
      timeout: WAIT_MS,
    });
    const context = await this.browser.newContext({ viewport: { width: 1366, height: 768 } });
    await context.grantPermissions(['camera', 'microphone'], { origin: new URL(url).origin });
    await context.addInitScript(rememberConnections);
    this.page = await context.newPage();
    this.page.on('pageerror', (error) => this.errors.push(String(error)));
    this.page.on('console', (message) => {
      if (message.type() === 'error') this.errors.push(message.text());
    });
    const response = await this.page.goto(url, { timeout: WAIT_MS, waitUntil: 'domcontentloaded' });
    if (response?.status() !== 200) throw new Error(`the page answered ${response?.status()}`);
    return true;
  }

  async receives({ frames, energy, width, height }) {
    const deadline = performance.now() + WAIT_MS;
    for (;;) {
      const sum = await this.page.evaluate(received);
      const isSized = sum.sizes.some(([w, h]) => w === width && h === height);
      if (sum.frames >= frames && sum.energy > energy && isSized) return sum;
      if (performance.now() > deadline) {
        const text = await this.page.innerText('body').catch(() => '');
        throw new Error(
          `received only ${JSON.stringify(sum)}; errors: ${JSON.stringify(this.errors)}; shown: ${text.slice(0, 500)}`,
        );
      }
      await this.page.waitForTimeout(POLL_MS);
    }
  }

  async shows({ text }) {
    await this.page.getByText(text).first().waitFor({ state: 'visible', timeout: WAIT_MS });
    return true;
  }
}

const driver = new Driver();
const requests = {
  open: (request) => driver.open(request),
  receives: (request) => driver.receives(request),
  shows: (request) => driver.shows(request),
  errors: () => driver.errors,
};

try {
  for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line);
    let answer;
    try {
      answer = { value: await requests[request.do](request) };
    } catch (error) {
      answer = { error: String(error?.stack ?? error) };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
} finally {
  await driver.browser?.close();
}
