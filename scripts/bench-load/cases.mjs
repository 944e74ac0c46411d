// The cases: what runs, how its load is varied, which traffic its floor sends, and what its figures must be.
//
// `load` is the number that calibration moves: the scale of a lecture, the rooms of a meeting. A bound has a name in the
// summary (see summary.mjs), and the value that it must reach (`min`) or not exceed (`max`).

import { fileURLToPath } from 'node:url';

const BROWSER_TRACE = fileURLToPath(new URL('../../benches/traces/one-layer.txt', import.meta.url));
const PEOPLE = 10;
const SUBSCRIBERS = 200;

const lecture = {
  start: 2,
  arguments: (load) => ['fan', '--subscribers', String(SUBSCRIBERS), '--scale', load.toFixed(3)],
  floor: () => ['--subscribers', String(SUBSCRIBERS)],
};
const meetings = {
  start: 3,
  whole: true,
  arguments: (load) => ['mesh', '--rooms', String(load), '--people', String(PEOPLE)],
  floor: (load) => ['--subscribers', String(load * PEOPLE), '--fan-out', String(PEOPLE - 1)],
};
// Packets that the sender has spread over time arrive one by one, and leave so.
const pacedMeetings = {
  ...meetings,
  start: 2,
  arguments: (load) => [...meetings.arguments(load), '--paced'],
  floor: (load) => [...meetings.floor(load), '--video-packets-per-train', '1'],
};

// Real sizes and times; the floor's mix is another, so there is none.
const browserMeetings = {
  ...meetings,
  arguments: (load) => [...meetings.arguments(load), '--trace', BROWSER_TRACE],
  floor: undefined,
};

const RATIO = { figure: 'ratio', max: 2 };
const DELAYS_AT_HALF_LOAD = [{ figure: 'p50Ms', max: 0.3 }, { figure: 'p99Ms', max: 2 }];

// Media cases that are calibrated to most of the server's core, or to a part (`of`) of the load found for another case.
export const MEDIA = [
  { name: 'fan', title: `fan, 1 to ${SUBSCRIBERS}`, ...lecture, must: [{ figure: 'packetsPerCpuSecond', min: 350_000 }, RATIO] },
  { name: 'mesh', title: `mesh, rooms of ${PEOPLE}, bursts`, ...meetings, must: [{ figure: 'packetsPerCpuSecond', min: 250_000 }, RATIO] },
  {
    name: 'paced', title: `mesh, rooms of ${PEOPLE}, paced`, ...pacedMeetings,
    must: [{ figure: 'packetsPerCpuSecond', min: 150_000 }, { figure: 'p99Ms', max: 3 }],
  },
  { name: 'browser', title: `mesh, rooms of ${PEOPLE}, as Chromium sends`, ...browserMeetings, must: [] },
  { name: 'fan-half', title: 'fan, half load', ...lecture, of: 'fan', share: 0.5, must: DELAYS_AT_HALF_LOAD },
  { name: 'mesh-half', title: 'mesh, half load', ...meetings, of: 'mesh', share: 0.5, must: DELAYS_AT_HALF_LOAD },
  {
    name: 'trust', title: 'trust, 132 rooms of 5', fixed: 1,
    arguments: () => ['trust'],
    must: [{ figure: 'lossPercent', max: 0.1 }, { figure: 'p99Ms', max: 20 }],
  },
];

export const JOINS = {
  name: 'joins', title: 'joins per second with p95 < 1 s', start: 50, max: 1_600,
  arguments: (rate) => ['joins', '--rate', String(rate)],
  must: { figure: 'joins per second', min: 100 },
};

export const MEMORY = [
  {
    name: 'memory-idle', title: 'memory per idle participant, KiB',
    arguments: ['mesh', '--rooms', '250', '--people', '2', '--no-audio', '--no-video'],
    must: { figure: 'KiB per participant', max: 128 },
  },
  {
    name: 'memory-publishing', title: `memory per publishing participant in rooms of ${PEOPLE}, KiB`,
    arguments: ['mesh', '--rooms', '4', '--people', String(PEOPLE)],
    must: { figure: 'KiB per participant', max: 2_048 },
  },
];
