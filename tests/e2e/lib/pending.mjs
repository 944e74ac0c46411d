// Cases that are written and measured, and whose condition the server does not meet yet. They run with CONSILIUM_PENDING=1;
// whoever makes one hold takes it out of this list.
const PENDING = {
  shares: 'two cores encode 9 to 15 pictures per second of two such screens, and one screen was seen to shrink for a moment',
};

const pending = (name) => (process.env.CONSILIUM_PENDING === undefined ? PENDING[name] : undefined);

/** The options of a test: skipped while it is pending, or where there are no bad networks. */
export function whenReady(name, why) {
  return { skip: why || (pending(name) !== undefined && `pending: ${pending(name)}`) };
}

export const isAnyReady = (names) => names.some((name) => pending(name) === undefined);
