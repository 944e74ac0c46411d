// Cases that are written and measured, and whose condition the server does not meet yet. They run with CONSILIUM_PENDING=1;
// whoever makes one hold takes it out of this list.
const PENDING = {
  loss: 'holds on an idle machine with little to spare: 0.5 to 2.5% of the sound is made up',
  freezes: 'what a publisher lost is asked for again too late: pictures freeze for up to 3 s at the others',
  limit: 'there is no congestion control yet: the large layer is sent on, and what is lost of it again',
  share: 'there is no allocation of the line to tracks yet: everything is sent, and everything suffers',
  outage: 'the others are not told that somebody reconnects, and media is back 0.3 s too late',
};

const pending = (name) => (process.env.CONSILIUM_PENDING === undefined ? PENDING[name] : undefined);

/** The options of a test: skipped while it is pending, or where there are no bad networks. */
export function whenReady(name, why) {
  return { skip: why || (pending(name) !== undefined && `pending: ${pending(name)}`) };
}

export const isAnyReady = (names) => names.some((name) => pending(name) === undefined);
