// What is started: a server for each run, generators, floors. Nothing that was started here outlives the script.
import { execFile, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const CREDENTIALS = { CONSILIUM_API_KEY: 'bench', CONSILIUM_API_SECRET: 'only-for-load-measurements-0123456789' };
const START_PATIENCE_MS = 10_000;
const STOP_PATIENCE_MS = 5_000;
/** A run that takes longer than this has got stuck. */
const RUN_PATIENCE_MS = 300_000;

const running = new Set();

export function killAll() {
  for (const child of running) child.kill('SIGKILL');
}

process.on('exit', killAll);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => process.exit(1));
}

function track(child) {
  running.add(child);
  const ended = new Promise((resolve) => {
    const done = () => {
      running.delete(child);
      resolve();
    };
    child.once('exit', done);
    child.once('error', done);
  });
  return { child, ended };
}

/** Runs a command on one core to its end and returns what it printed. A non-zero code is an error unless it may be. */
function runOn(cpu, command, args, { mayFail = false } = {}) {
  return new Promise((resolve, reject) => {
    const options = { env: { ...process.env, ...CREDENTIALS }, timeout: RUN_PATIENCE_MS, maxBuffer: 1 << 26 };
    const child = execFile('taskset', ['-c', cpu, command, ...args], options, (error, stdout, stderr) => {
      running.delete(child);
      if (error && !(mayFail && typeof error.code === 'number')) {
        reject(new Error(`${command} ${args.join(' ')}\n${stdout}${stderr}${error.message}`));
      } else {
        resolve({ stdout, stderr, code: error ? error.code : 0 });
      }
    });
    running.add(child);
  });
}

/** A server with a data directory and ports of its own, on one core. `use` gets it, and it is gone afterwards. */
async function withServer(options, use) {
  const directory = await mkdtemp(join(tmpdir(), 'consilium-bench-'));
  const log = join(directory, 'log');
  const port = Number(options.port);
  const environment = {
    ...CREDENTIALS,
    PATH: process.env.PATH,
    CONSILIUM_DATA_DIR: join(directory, 'data'),
    CONSILIUM_MEDIA__WORKERS: '1',
    CONSILIUM_MEDIA__BIND: '["127.0.0.1"]',
    CONSILIUM_MEDIA__UDP_PORT: String(port + 2),
    CONSILIUM_HTTP__LISTEN: `127.0.0.1:${port}`,
    CONSILIUM_OPS__LISTEN: `127.0.0.1:${port + 1}`,
    CONSILIUM_LOG__FILTER: 'warn',
  };
  const output = openSync(log, 'w');
  const command = ['-c', options['server-cpu'], options.server, 'serve'];
  const { child, ended } = track(spawn('taskset', command, { env: environment, stdio: ['ignore', output, output] }));
  closeSync(output);
  try {
    const url = `http://127.0.0.1:${port}`;
    await untilItAnswers(url, child, log);
    // taskset becomes the server: the process id stays.
    return await use({ url, pid: child.pid, metrics: () => metrics(port + 1) });
  } finally {
    child.kill('SIGTERM');
    await Promise.race([ended, sleep(STOP_PATIENCE_MS, undefined, { ref: false })]);
    child.kill('SIGKILL');
    await rm(directory, { recursive: true, force: true });
  }
}

async function untilItAnswers(url, child, log) {
  const giveUp = Date.now() + START_PATIENCE_MS;
  while (Date.now() < giveUp && child.exitCode === null && child.signalCode === null) {
    try {
      await fetch(url);
      return;
    } catch {
      await sleep(50);
    }
  }
  throw new Error(`the server did not start:\n${await readFile(log, 'utf8')}`);
}

/** The server's own counters, by name, without those that have labels. */
async function metrics(port) {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const lines = text.split('\n').filter((line) => line && !line.startsWith('#') && !line.includes('{'));
  return Object.fromEntries(lines.map((line) => line.split(' ')).map(([name, value]) => [name, Number(value)]));
}

/** One run of the generator against a server of its own: the generator's report, and the server's counters. */
export async function generate(options, args, seconds) {
  return withServer(options, async (server) => {
    const directory = await mkdtemp(join(tmpdir(), 'consilium-bench-'));
    try {
      const json = join(directory, 'report.json');
      const all = [
        ...args, '--duration', String(seconds), '--url', server.url, '--pid', String(server.pid),
        '--cpu', options['load-cpu'], '--json', json,
      ];
      await runOn(options['load-cpu'], options.generator, all);
      return { report: JSON.parse(await readFile(json, 'utf8')), metrics: await server.metrics() };
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });
}

/** The floor for a traffic. It pins its threads itself, so it may use both cores. */
export async function floor(options, args, seconds) {
  const cores = `${options['server-cpu']},${options['load-cpu']}`;
  const all = [
    ...args, '--cpu', options['server-cpu'], '--drain-cpu', options['load-cpu'], '--duration', String(seconds), '--json',
  ];
  return JSON.parse((await runOn(cores, options.floor, all)).stdout);
}
