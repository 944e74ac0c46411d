// Firefox through WebDriver BiDi, with a camera and a microphone of its own making.
import puppeteer from 'puppeteer-core';

export function launchFirefox() {
  return puppeteer.launch({
    browser: 'firefox',
    executablePath: process.env.FIREFOX_BIN ?? '/usr/bin/firefox-esr',
    headless: true,
    extraPrefsFirefox: {
      'media.navigator.streams.fake': true,
      'media.navigator.permission.disabled': true,
      'media.autoplay.default': 0,
      'media.autoplay.blocking_policy': 0,
      // Host candidates with their addresses: there is no resolver for .local names on a test machine.
      'media.peerconnection.ice.obfuscate_host_addresses': false,
      'network.captive-portal-service.enabled': false,
      'network.connectivity-service.enabled': false,
      // No codec is fetched from the network during a test.
      'media.gmp-manager.updateEnabled': false,
      'datareporting.policy.dataSubmissionEnabled': false,
    },
  });
}

export async function openInFirefox(browser, link) {
  const page = await browser.newPage();
  page.errors = [];
  page.on('pageerror', (error) => page.errors.push(error.message));
  await page.setViewport({ width: 640, height: 480 });
  page.openedAt = performance.now();
  await page.goto(link, { waitUntil: 'domcontentloaded' });
  return page;
}
