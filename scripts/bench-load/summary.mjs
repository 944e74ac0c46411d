// Figures from reports: medians, tables, bounds.

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

/** One run's figures. `floorReport` is missing where the traffic has no floor. */
export function figures({ report }, floorReport) {
  const { media, server, generator } = report;
  const floorUs = floorReport ? floorReport.cpu_ns_per_packet / 1_000 : NaN;
  return {
    packetsPerSecond: media.packets_per_second,
    usPerPacket: server.cpu_us_per_packet,
    packetsPerCpuSecond: server.packets_per_cpu_second,
    serverShare: server.cpu_share,
    floorUs,
    ratio: server.cpu_us_per_packet / floorUs,
    lossPercent: media.loss_percent,
    p50Ms: media.delay_ms.p50,
    p99Ms: media.delay_ms.p99,
    generatorBusy: generator.busy_ratio,
    limitedByGenerator: generator.is_the_limit ? 1 : 0,
  };
}

/** Of each figure over the runs. */
export function medians(runs) {
  return Object.fromEntries(Object.keys(runs[0]).map((figure) => [figure, median(runs.map((run) => run[figure]))]));
}

/** The bounds that are broken, in words. */
export function broken(title, summary, bounds) {
  return bounds.flatMap(({ figure, min, max }) => {
    const value = summary[figure];
    if (min !== undefined && !(value >= min)) return [`${title}: ${figure} is ${rounded(value)} and must be ${min} at least`];
    if (max !== undefined && !(value <= max)) return [`${title}: ${figure} is ${rounded(value)} and must be ${max} at most`];
    return [];
  });
}

function rounded(value) {
  return Number(value.toPrecision(4));
}

const COLUMNS = [
  ['packets/s', (s) => count(s.packetsPerSecond)],
  ['us per packet', (s) => fixed(s.usPerPacket, 2)],
  ['packets per CPU-second', (s) => count(s.packetsPerCpuSecond)],
  ['floor us', (s) => fixed(s.floorUs, 2)],
  ['ratio', (s) => fixed(s.ratio, 2)],
  ['loss %', (s) => fixed(s.lossPercent, 3)],
  ['p50 / p99 ms', (s) => `${fixed(s.p50Ms, 2)} / ${fixed(s.p99Ms, 2)}`],
  ['server busy', (s) => percent(s.serverShare)],
  ['generator busy', (s) => percent(s.generatorBusy)],
  ['limited by the generator', (s) => (s.limitedByGenerator ? 'yes' : 'no')],
];

/** Markdown, of media cases. */
export function mediaTable(rows) {
  const lines = rows.map(({ title, summary }) => [title, ...COLUMNS.map(([, cell]) => cell(summary))]);
  return table(['case', ...COLUMNS.map(([name]) => name)], lines);
}

export function table(header, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [line(header), line(header.map((_, index) => (index === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n');
}

export function count(value) {
  return Math.round(value).toLocaleString('en-US');
}

function fixed(value, digits) {
  return Number.isFinite(value) ? value.toFixed(digits) : '–';
}

function percent(value) {
  return `${Math.round(value * 100)}%`;
}
