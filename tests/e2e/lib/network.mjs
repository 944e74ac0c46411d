// Bad networks for browsers: a network namespace whose only way out is the link emulator (benches, consilium-link).
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { takeHostAddress } from './address.mjs';
import { CHROMIUM, launchChromium } from './chromium.mjs';
import { startServer } from './server.mjs';

const BINARY = process.env.CONSILIUM_LINK_BIN ?? fileURLToPath(new URL('../../../target/debug/consilium-link', import.meta.url));

/** Why this machine has no bad networks; where every test must run, that is a failure. */
export function whyNoNetworks() {
  let why = false;
  if (process.getuid() !== 0) why = 'network namespaces need root';
  else {
    try {
      accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
    } catch {
      why = 'there is no /dev/net/tun';
    }
  }
  assert.ok(!why || process.env.CI === undefined, why);
  return why;
}

/** A server that both loopback and namespaces reach. */
export async function startReachableServer() {
  const { address, release } = takeHostAddress();
  try {
    const server = await startServer({ mediaAddress: address, httpAddress: '0.0.0.0' });
    const originOutside = server.origin.replace('127.0.0.1', address);
    return {
      ...server,
      originOutside,
      linkOutside: (...words) => server.link(...words).replace(server.origin, originOutside),
      stop: async () => {
        const end = await server.stop();
        release();
        return end;
      },
    };
  } catch (error) {
    release();
    throw error;
  }
}

/**
 * A namespace behind a link. `path` is for both directions, `down` and `up` for one: what consilium-link takes as JSON
 * (`rate_bps`, `queue_bytes`, `delay_ms`, `jitter_ms`, `loss: { random: 0.02 }`, ...).
 */
export async function startNetwork({ path = {}, down = {}, up = {}, seed = 1 } = {}) {
  const child = spawn(BINARY, ['--seed', String(seed)], { stdio: ['pipe', 'pipe', 'pipe'] });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  const failed = new Promise((_, reject) => child.once('error', reject));
  const said = [];
  child.stderr.setEncoding('utf8').on('data', (text) => said.push(text));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async () => {
    const { value, done } = await Promise.race([lines.next(), failed]);
    assert.ok(!done, `the link emulator ended: ${said.join('')}`);
    const parsed = JSON.parse(value);
    assert.equal(parsed.error, undefined, `the link emulator: ${parsed.error}`);
    return parsed;
  };
  // One at a time: the answers have no numbers.
  let before = Promise.resolve();
  const tell = (request) => {
    before = before.then(() => {
      child.stdin.write(`${JSON.stringify(request)}\n`);
      return answer();
    });
    return before;
  };
  const { ready } = await answer();
  const network = {
    netns: ready.netns,
    set: (both, { down: onlyDown = {}, up: onlyUp = {} } = {}) => tell({ down: { ...both, ...onlyDown }, up: { ...both, ...onlyUp } }),
    outage: (forMs) => tell({ outage_ms: forMs }),
    stats: async () => (await tell({ stats: true })).stats,
    stop: async () => {
      child.stdin.end();
      await exited;
    },
  };
  await network.set(path, { down, up });
  return network;
}

/** A Chromium inside the namespace; its pages may use devices although their address is not a secure one. */
export async function launchBehind(network, server) {
  const folder = await mkdtemp(join(tmpdir(), 'consilium-netns-'));
  const program = join(folder, 'chromium');
  await writeFile(program, `#!/bin/sh\nexec ip netns exec ${network.netns} ${CHROMIUM} "$@"\n`);
  await chmod(program, 0o755);
  const more = [`--unsafely-treat-insecure-origin-as-secure=${server.originOutside}`];
  const browser = await launchChromium({ program, more });
  browser.once('disconnected', () => void rm(folder, { recursive: true, force: true }));
  return browser;
}

/** For people who read the output: what the path did. */
export function describeStats({ down, up, timer }) {
  const way = (name, { offered, passed, lost, lost_to_queue, lost_to_outages, queue_p95_ms }) =>
    `${name} ${passed}/${offered} passed, ${lost} lost, ${lost_to_queue} to the queue, ${lost_to_outages} to outages, queue p95 ${queue_p95_ms} ms`;
  return `${way('down', down)}; ${way('up', up)}; timer late p99 ${timer.late_p99_us} us`;
}
