// Starts the built server with a configuration and folders of its own, and stops exactly that process.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { RoomServiceClient } from 'livekit-server-sdk';
import { joinClaims, sign } from './token.mjs';
import { until } from './wait.mjs';

const BINARY = process.env.CONSILIUM_BIN ?? fileURLToPath(new URL('../../../target/debug/consilium', import.meta.url));
/** A debug build on a loaded machine; a server that works is ready in a tenth of this. */
const READY_WITHIN_MS = 20_000;
const CREDENTIALS = { key: 'e2e', secret: 'only-for-browser-tests-0123456789abcdef' };

/** `settings` replace those below; `undefined` leaves the choice to the server. Pages come from loopback, and more with `httpAddress`. */
export async function startServer({ mediaAddress = '127.0.0.1', httpAddress = '127.0.0.1', settings = {} } = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'consilium-e2e-'));
  const [http, ops, udp] = [await freeTcpPort(), await freeTcpPort(), await freeUdpPort(mediaAddress)];
  const config = {
    data_dir: join(folder, 'data'),
    open_rooms: true,
    'http.listen': `${httpAddress}:${http}`,
    'ops.listen': `127.0.0.1:${ops}`,
    // One worker and one port, so that a test knows where the media of its room goes.
    'media.workers': 1,
    'media.udp_port': udp,
    'media.bind': [mediaAddress],
    'log.filter': 'info',
    ...settings,
  };
  for (const [name, value] of Object.entries(config)) if (value === undefined) delete config[name];
  const file = join(folder, 'consilium.toml');
  await writeFile(file, Object.entries(config).map(([name, value]) => `${name} = ${JSON.stringify(value)}\n`).join(''));
  const env = { ...process.env, CONSILIUM_API_KEY: CREDENTIALS.key, CONSILIUM_API_SECRET: CREDENTIALS.secret };
  const log = [];
  let child, exited, failed;
  const begin = () => {
    child = spawn(BINARY, ['serve', '--config', file], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => log.push(text));
    exited = new Promise((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })));
    failed = new Promise((resolve) => child.once('error', resolve));
  };
  begin();

  const origin = `http://127.0.0.1:${http}`;
  const opsOrigin = `http://127.0.0.1:${ops}`;
  const server = {
    origin,
    media: { address: mediaAddress, port: udp },
    credentials: CREDENTIALS,
    log: () => log.join(''),
    isRunning: () => child.exitCode === null && child.signalCode === null,
    rooms: new RoomServiceClient(origin, CREDENTIALS.key, CREDENTIALS.secret),
    token: (room, identity, grants) => sign(joinClaims(room, identity, grants), CREDENTIALS),
    /** A caller of the REST API: `[status, body]` of a request with a key of these scopes. */
    api: async (...scopes) => {
      const asked = scopes.flatMap((scope) => ['--scope', scope]);
      const { stdout } = await promisify(execFile)(BINARY, ['api-key', 'create', '--config', file, '--name', 'browsers', ...asked], { env });
      return async (method, path, body) => {
        // Whatever is changed is changed as it is now.
        const version = ['PUT', 'PATCH', 'DELETE'].includes(method) ? { 'if-match': '*' } : {};
        const headers = { authorization: `Bearer ${stdout.trim()}`, 'content-type': 'application/json', ...version };
        const answer = await fetch(`${origin}/api/v1/${path}`, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
        return [answer.status, answer.status === 204 ? undefined : await answer.json()];
      };
    },
    /** A new account's password. */
    account: async (login, name) => {
      const account = ['--login', login, '--name', name, '--role', 'member'];
      const { stdout } = await promisify(execFile)(BINARY, ['user', 'create', '--config', file, ...account], { env });
      return stdout.trim();
    },
    /** The address that joins at once as `identity`. */
    link: (room, identity, options = {}, grants = {}) => {
      const query = new URLSearchParams({ autojoin: '1', debug: '1', video: 'low', ...options });
      return `${origin}/m/${room}?${query}#${server.token(room, identity, grants)}`;
    },
    /** One metric, summed over the series whose labels contain all of `labels`. */
    metric: async (name, labels = {}) => {
      const text = await (await fetch(`${opsOrigin}/metrics`)).text();
      const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
      return text
        .split('\n')
        .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
        .filter((line) => wanted.every((label) => line.includes(label)))
        .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
    },
    /** Ends the process with a signal and starts another with the same settings, on the same ports. */
    restart: async (signal) => {
      child.kill(signal);
      await exited;
      begin();
      await ready();
    },
    /** As when the machine fails: nobody is told. */
    kill: async () => {
      child.kill('SIGKILL');
      await exited;
      await rm(folder, { recursive: true, force: true });
    },
    stop: async () => {
      child.kill('SIGTERM');
      const end = await Promise.race([exited, failed]);
      await rm(folder, { recursive: true, force: true });
      return end;
    },
  };
  const ready = () =>
    until('the server is ready', async () => {
      const dead = await Promise.race([exited, failed, Promise.resolve()]);
      assert.equal(dead, undefined, `the server did not start: ${JSON.stringify(dead)}\n${server.log()}`);
      return fetch(`${opsOrigin}/readyz`).then((answer) => answer.ok, () => false);
    }, READY_WITHIN_MS);
  try {
    await ready();
  } catch (error) {
    await server.stop();
    throw error;
  }
  return server;
}

function freeTcpPort() {
  return new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

function freeUdpPort(address) {
  return new Promise((resolve, reject) => {
    const probe = createSocket('udp4').once('error', reject);
    probe.bind(0, address, () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}
