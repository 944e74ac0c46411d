// What a test asks of a page in a meeting. The functions given to `evaluate` run inside the page, in either browser.
import assert from 'node:assert/strict';
import { until } from './wait.mjs';

/** For each other participant: pictures decoded and sound energy received so far. */
export async function received(page) {
  return page.evaluate(async () => {
    const room = window.__consilium?.room;
    const all = {};
    for (const who of room?.remoteParticipants.values() ?? []) {
      const entry = { frames: 0, energy: 0, samples: 0, width: 0, height: 0, screenFrames: 0 };
      for (const publication of who.trackPublications.values()) {
        const report = await publication.track?.getRTCStatsReport();
        for (const stats of report?.values() ?? []) {
          if (stats.type !== 'inbound-rtp') continue;
          if (publication.source === 'screen_share') entry.screenFrames += stats.framesDecoded ?? 0;
          else if (stats.kind === 'video') {
            entry.frames += stats.framesDecoded ?? 0;
            entry.width = stats.frameWidth ?? 0;
            entry.height = stats.frameHeight ?? 0;
          } else {
            entry.energy += stats.totalAudioEnergy ?? 0;
            entry.samples += stats.totalSamplesReceived ?? 0;
          }
        }
      }
      all[who.identity] = entry;
    }
    return all;
  });
}

/** Waits until pictures and sound of each of `others` have come and then risen again; returns the time since opening. */
export async function seesAndHears(page, others, withinMs) {
  const name = page.identity ?? 'the page';
  const left = () => withinMs - (performance.now() - page.openedAt);
  const first = new Map();
  await until(
    `${name} sees and hears ${others.join(', ')}`,
    async () => {
      const now = await received(page);
      return others.every((other) => {
        const entry = now[other];
        if (entry === undefined || entry.frames === 0 || entry.energy === 0) return false;
        const before = first.get(other);
        if (before === undefined) first.set(other, entry);
        return before !== undefined && entry.frames > before.frames && entry.energy > before.energy;
      });
    },
    left(),
  );
  return performance.now() - page.openedAt;
}

/** Waits until more has come from each of `others` than there is now. */
export async function keepsReceiving(page, others, withinMs = 10_000) {
  const before = await received(page);
  await until(
    `pictures and sound of ${others.join(', ')} keep coming`,
    async () => {
      const now = await received(page);
      return others.every((other) => now[other]?.frames > before[other].frames && now[other].energy > before[other].energy);
    },
    withinMs,
  );
}

export const tileOf = (identity) => `li.tile[data-identity="${identity}"]`;

export async function joined(page, withinMs = 15_000) {
  await page.waitForSelector('.toolbar', { timeout: withinMs });
}

export async function endedWith(page, failure, withinMs = 10_000) {
  await page.waitForSelector('[data-failure]', { timeout: withinMs });
  assert.equal(await page.locator('[data-failure]').getAttribute('data-failure'), failure);
}

/** A page that has not shown something by then never will. */
const NEVER_AFTER_MS = 15_000;

/** How long a selector takes to appear or go, in ms from before `action`. */
export async function timeUntil(page, selector, state, action = async () => {}, withinMs = NEVER_AFTER_MS) {
  const start = performance.now();
  const seen = page.waitForSelector(selector, { state, timeout: withinMs });
  await Promise.all([action(), seen]);
  return performance.now() - start;
}

/** As [timeUntil] for several pages: the time of the slowest, from before `action`. */
export async function timeUntilAll(pages, selector, state, action) {
  const start = performance.now();
  const seen = pages.map((page) => page.waitForSelector(selector, { state, timeout: NEVER_AFTER_MS }));
  await Promise.all([action(), ...seen]);
  return performance.now() - start;
}
