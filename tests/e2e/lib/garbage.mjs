// Datagrams that no client of ours sends, from a seeded generator: a failing seed can be run again.
import { createSocket } from 'node:dgram';

/** RFC 8489 section 5. */
const STUN_MAGIC = 0x2112a442;
/** More would only fill the kernel's buffer; the point is that the server reads them. */
const IN_FLIGHT = 64;

/** Mulberry32: small, and the same everywhere. */
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
}

function randomBytes(next, length) {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i += 1) bytes[i] = next() & 0xff;
  return bytes;
}

/** First bytes of each protocol of RFC 7983, so that every parser gets its share. */
const FIRST_BYTES = [0, 1, 3, 16, 20, 22, 23, 63, 64, 79, 128, 144, 191, 192, 255];

function forgedStun(next) {
  const user = randomBytes(next, 4 + (next() % 28));
  const padded = Buffer.alloc((user.length + 3) & ~3);
  user.copy(padded);
  const attribute = (type, value, length = value.length) => {
    const head = Buffer.alloc(4);
    head.writeUInt16BE(type, 0);
    head.writeUInt16BE(length, 2);
    return Buffer.concat([head, value]);
  };
  const body = Buffer.concat([
    attribute(0x0006, padded, user.length),
    attribute(0x0025, Buffer.alloc(0)),
    attribute(0x0008, randomBytes(next, 20)),
    attribute(0x8028, randomBytes(next, 4)),
  ]);
  const head = Buffer.alloc(20);
  head.writeUInt16BE([0x0001, 0x0101, 0x0111, 0x0011][next() % 4], 0);
  // Now and then a length that lies.
  head.writeUInt16BE(next() % 5 === 0 ? next() & 0xffff : body.length, 2);
  head.writeUInt32BE(STUN_MAGIC, 4);
  randomBytes(next, 12).copy(head, 8);
  return Buffer.concat([head, body]);
}

function datagram(next, index) {
  if (index % 4 === 0) {
    const stun = forgedStun(next);
    return index % 8 === 0 ? stun : stun.subarray(0, next() % stun.length);
  }
  const bytes = randomBytes(next, index % 3 === 0 ? next() % 24 : 1 + (next() % 1_200));
  if (bytes.length > 0) bytes[0] = FIRST_BYTES[next() % FIRST_BYTES.length];
  return bytes;
}

/** Sends `count` datagrams; resolves when the last one left. */
export async function sendGarbage({ address, port }, count, seed) {
  const next = generator(seed);
  const socket = createSocket('udp4');
  let sent = 0;
  const lane = async () => {
    while (sent < count) {
      const bytes = datagram(next, sent);
      sent += 1;
      await new Promise((resolve) => socket.send(bytes, port, address, resolve));
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
  await new Promise((resolve) => socket.close(resolve));
}
