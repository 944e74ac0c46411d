#!/usr/bin/env node
// The server under load: one core for it, another for the load generator, and beside each figure the floor, which is what
// encrypting and sending the same trains costs. Prints Markdown; writes every report to target/bench-load.json.
//
//   scripts/bench-load.mjs [--runs 5] [--seconds 8] [--only fan,mesh] [--check] [--server PATH] [--server-cpu 0] [--load-cpu 1]
//
// The delay is measured from where the generator composes a packet to where the kernel hands it back, so it contains both
// ways through the kernel and is a little more than what the server adds.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { calibrate, highestRate } from './bench-load/calibrate.mjs';
import { JOINS, MEDIA, MEMORY } from './bench-load/cases.mjs';
import { floor, generate } from './bench-load/processes.mjs';
import { broken, figures, mediaTable, median, medians, table } from './bench-load/summary.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const built = (name) => join(root, 'target/release', name);
const { values: options } = parseArgs({
  options: {
    runs: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '8' },
    only: { type: 'string' },
    check: { type: 'boolean', default: false },
    server: { type: 'string', default: built('consilium') },
    generator: { type: 'string', default: built('consilium-load') },
    floor: { type: 'string', default: built('floor') },
    'server-cpu': { type: 'string', default: '0' },
    'load-cpu': { type: 'string', default: '1' },
    port: { type: 'string', default: '28080' },
    output: { type: 'string', default: join(root, 'target/bench-load.json') },
  },
});
const RUNS = Number(options.runs);
const SECONDS = Number(options.seconds);
const CALIBRATION_SECONDS = 3;
const FLOOR_SECONDS = 1.5;
/** Memory does not vary from run to run as time does. */
const MEMORY_RUNS_MAX = 3;

const only = options.only?.split(',');
const known = [...MEDIA, JOINS, ...MEMORY].map(({ name }) => name);
const unknown = only?.filter((name) => !known.includes(name)) ?? [];
if (unknown.length > 0) {
  console.error(`no such case: ${unknown.join(', ')}; there are ${known.join(', ')}`);
  process.exit(2);
}
const wanted = ({ name }) => !only || only.includes(name);
const say = (text) => console.error(text);

async function loadOf(testCase, loads) {
  if (testCase.fixed) return { load: testCase.fixed, limit: 'none' };
  const whole = testCase.of ? MEDIA.find(({ name }) => name === testCase.of) : testCase;
  loads[whole.name] ??= await calibrate(
    whole,
    async (load) => (await generate(options, whole.arguments(load), CALIBRATION_SECONDS)).report,
    (text) => say(`${whole.name}: ${text}`),
  );
  const { load, limit } = loads[whole.name];
  const share = load * (testCase.share ?? 1);
  return { load: testCase.whole ? Math.max(1, Math.round(share)) : share, limit: testCase.of ? 'none' : limit };
}

/** Runs in turns with the floor, so that whatever else the machine does disturbs both alike. */
async function measureMedia(testCase, loads) {
  const { load, limit } = await loadOf(testCase, loads);
  const [runs, floors, raw] = [[], [], []];
  for (let run = 1; run <= RUNS; run += 1) {
    const measured = await generate(options, testCase.arguments(load), SECONDS);
    const beside = testCase.floor && await floor(options, testCase.floor(load), FLOOR_SECONDS);
    runs.push(figures(measured, beside));
    raw.push(measured);
    if (beside) floors.push(beside);
    const { usPerPacket, floorUs, p99Ms } = runs.at(-1);
    say(`${testCase.name}: run ${run}: ${usPerPacket.toFixed(2)} us per packet, floor ${floorUs.toFixed(2)} us, p99 ${p99Ms.toFixed(2)} ms`);
  }
  const summary = medians(runs);
  // Held back at calibration so that the generator would not be the limit: it is, all the same.
  if (limit === 'generator') summary.limitedByGenerator = 1;
  return { name: testCase.name, title: testCase.title, load, summary, must: testCase.must, runs: raw, floors };
}

async function measureJoins() {
  const raw = [];
  const holds = async (rate) => {
    const { report } = await generate(options, JOINS.arguments(rate), SECONDS);
    raw.push(report);
    const { joins, generator } = report;
    const failed = joins.attempted - joins.succeeded;
    const by = generator.is_the_limit ? ', the generator may be the limit' : '';
    say(`joins: ${rate} per second: p95 ${joins.p95_ms.toFixed(0)} ms, ${failed} failed${by}`);
    return report.within_limits;
  };
  const rate = await highestRate(JOINS.start, JOINS.max, holds);
  // What stopped the search: the lowest rate above the one that held.
  const above = raw.filter(({ scenario }) => scenario.joins.rate > rate);
  const next = above.sort((a, b) => a.scenario.joins.rate - b.scenario.joins.rate)[0];
  const note = next?.generator.is_the_limit ? 'limited by the generator' : '';
  return { name: JOINS.name, title: JOINS.title, value: rate, note, must: JOINS.must, runs: raw };
}

async function measureMemory(testCase) {
  const raw = [];
  for (let run = 0; run < Math.min(RUNS, MEMORY_RUNS_MAX); run += 1) {
    raw.push((await generate(options, testCase.arguments, SECONDS)).report);
  }
  const value = median(raw.map(({ server }) => server.bytes_per_member)) / 1_024;
  say(`${testCase.name}: ${value.toFixed(1)} KiB`);
  return { name: testCase.name, title: testCase.title, value, note: '', must: testCase.must, runs: raw };
}

function single({ title, value, note, must }) {
  const bound = must.min === undefined ? `at most ${must.max}` : `at least ${must.min}`;
  return [title, value.toFixed(value < 100 ? 1 : 0), bound, note];
}

function commit() {
  try {
    return execFileSync('git', ['-C', root, 'rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
  } catch {
    return 'unknown';
  }
}

function write(media, singles) {
  const machine = { processor: cpus()[0]?.model, cores: cpus().length, kernel: release() };
  mkdirSync(dirname(options.output), { recursive: true });
  const all = { machine, commit: commit(), at: new Date().toISOString(), runs: RUNS, seconds: SECONDS, media, singles };
  writeFileSync(options.output, JSON.stringify(all, null, 2));
}

const [media, singles, loads] = [[], [], {}];
for (const testCase of MEDIA.filter(wanted)) {
  media.push(await measureMedia(testCase, loads));
  write(media, singles);
}
if (wanted(JOINS)) singles.push(await measureJoins());
for (const testCase of MEMORY.filter(wanted)) singles.push(await measureMemory(testCase));
write(media, singles);

if (media.length > 0) console.log(`${mediaTable(media)}\n`);
if (singles.length > 0) console.log(`${table(['what', 'measured', 'must be', ''], singles.map(single))}\n`);
const failures = [
  ...media.flatMap(({ title, summary, must }) => broken(title, summary, must)),
  ...singles.flatMap(({ title, value, must }) => broken(title, { [must.figure]: value }, [must])),
];
for (const failure of failures) console.error(failure);
process.exitCode = options.check && failures.length > 0 ? 1 : 0;
