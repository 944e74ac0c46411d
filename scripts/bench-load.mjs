#!/usr/bin/env node
// The server under load: one core for it, another for the load generator, and beside each figure the floor, which is what
// encrypting and sending the same trains costs. Prints a table; writes everything to target/bench-load.json.
//
//   scripts/bench-load.mjs [--runs 5] [--only fan,mesh] [--server PATH] [--server-cpu 0] [--load-cpu 1]
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';

const run = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));
const { values: options } = parseArgs({
  options: {
    runs: { type: 'string', default: '5' },
    only: { type: 'string' },
    server: { type: 'string', default: join(root, 'target/release/consilium') },
    generator: { type: 'string', default: join(root, 'target/release/consilium-load') },
    floor: { type: 'string', default: join(root, 'target/release/floor') },
    'server-cpu': { type: 'string', default: '0' },
    'load-cpu': { type: 'string', default: '1' },
  },
});
const CREDENTIALS = { CONSILIUM_API_KEY: 'bench', CONSILIUM_API_SECRET: 'only-for-load-measurements-0123456789' };
