// An address of this host that is not loopback: Firefox makes no ICE pair with loopback alone.
import { execFileSync } from 'node:child_process';
import { networkInterfaces } from 'node:os';

const DUMMY = { name: 'consilium0', address: '10.89.0.1' };

/** The host's own address, or one on an interface made for the purpose; `release` undoes the latter. */
export function takeHostAddress() {
  const all = Object.values(networkInterfaces()).flat();
  const own = all.find((address) => address.family === 'IPv4' && !address.internal);
  if (own !== undefined) return { address: own.address, release: () => {} };
  ip('link', 'add', DUMMY.name, 'type', 'dummy');
  ip('address', 'add', `${DUMMY.address}/24`, 'dev', DUMMY.name);
  ip('link', 'set', DUMMY.name, 'up');
  return { address: DUMMY.address, release: () => ip('link', 'delete', DUMMY.name) };
}

function ip(...words) {
  execFileSync('ip', words, { stdio: 'inherit' });
}
