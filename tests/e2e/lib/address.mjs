// An address of this host that is not loopback: Firefox makes no ICE pair with loopback alone.
import { execFileSync } from 'node:child_process';
import { networkInterfaces } from 'node:os';

/** Two ends of a cable: with one end alone the interface would have no carrier, and browsers pass over it. */
const CABLE = { end: 'consilium0', other: 'consilium1', address: '10.89.0.1' };

/** The host's own address, or one on an interface made for the purpose; `release` undoes the latter. */
export function takeHostAddress() {
  const all = Object.values(networkInterfaces()).flat();
  const own = all.find((address) => address.family === 'IPv4' && !address.internal);
  if (own !== undefined) return { address: own.address, release: () => {} };
  ip('link', 'add', CABLE.end, 'type', 'veth', 'peer', 'name', CABLE.other);
  ip('address', 'add', `${CABLE.address}/24`, 'dev', CABLE.end);
  ip('link', 'set', CABLE.end, 'up');
  ip('link', 'set', CABLE.other, 'up');
  // Browsers find their own address by asking for the route to the world.
  ip('route', 'add', 'default', 'dev', CABLE.end);
  // Deleting one end deletes both.
  return { address: CABLE.address, release: () => ip('link', 'delete', CABLE.end) };
}

function ip(...words) {
  execFileSync('ip', words, { stdio: 'inherit' });
}
