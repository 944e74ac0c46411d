// Finds the load at which a case is measured.

/** Share of the server's core that is aimed at, and what is near enough. */
const SHARE = 0.78;
const SHARE_MIN = 0.7;
const SHARE_MAX = 0.85;
/** Above this the generator would soon be what is measured. */
const GENERATOR_MAX = 0.85;
/** How much less is tried after an overload, and how much more after a light load: cost per packet falls with load. */
const OVERLOADED_STEP = 0.6;
const STEP_MAX = 3;
const STEPS_MAX = 6;
/** Steps of a search for a rate: doubling, then halving the interval. */
const RATE_STEPS_MAX = 10;
const RATE_PRECISION = 1.2;

/** `run` measures a load shortly and returns the generator's report. Returns the load, and why it is no higher. */
export async function calibrate(testCase, run, say) {
  let load = testCase.start;
  let best;
  let tooMuch = Infinity;
  for (let step = 0; step < STEPS_MAX; step += 1) {
    const { server, generator, media } = await run(load);
    say(`load ${Number(load.toPrecision(3))}: server ${percent(server.cpu_share)}, generator ${percent(generator.busy_ratio)}, lost ${media.loss_percent.toFixed(2)}%`);
    // An overloaded server is as busy as it can be, so its share says too little; what it drops says that it is.
    const overloaded = media.loss_percent > 1;
    if (overloaded) tooMuch = Math.min(tooMuch, load);
    const bounds = {
      server: Math.min(SHARE / server.cpu_share, overloaded ? OVERLOADED_STEP : STEP_MAX),
      generator: GENERATOR_MAX / generator.busy_ratio,
    };
    const limit = bounds.generator < bounds.server ? 'generator' : 'server';
    const fits = server.cpu_share <= SHARE_MAX && generator.busy_ratio <= 0.9 && !overloaded;
    if (fits && !(best?.load > load)) best = { load, limit };
    const factor = Math.min(bounds.server, bounds.generator);
    const near = fits && (server.cpu_share >= SHARE_MIN || (limit === 'generator' && factor < 1.06));
    const below = Math.min(load * factor, (load + tooMuch) / 2);
    const next = testCase.whole ? Math.max(1, Math.round(below)) : below;
    if (near || next === load) break;
    load = next;
  }
  // Nothing fitted: the last and smallest try is measured, and its figures show what is wrong.
  return best ?? { load, limit: 'server' };
}

/** The highest rate at which `holds` is true. */
export async function highestRate(start, max, holds) {
  let good;
  let bad;
  let rate = start;
  for (let step = 0; step < RATE_STEPS_MAX && rate >= 1; step += 1) {
    if (await holds(rate)) good = rate;
    else bad = rate;
    if (good !== undefined && bad !== undefined && bad / good < RATE_PRECISION) break;
    if (good >= max) break;
    if (bad === undefined) rate *= 2;
    else if (good === undefined) rate = Math.floor(rate / 2);
    else rate = Math.round((good + bad) / 2);
  }
  return good ?? 0;
}

function percent(value) {
  return `${Math.round(value * 100)}%`;
}
