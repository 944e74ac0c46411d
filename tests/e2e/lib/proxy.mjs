// A proxy between one page and the server, for both ways that it uses: the WebSocket's TCP and the media's UDP. It can cut
// each, keep silent like a network that swallows everything, and change the address that the server sees, like a NAT.
import { createSocket } from 'node:dgram';
import { connect, createServer } from 'node:net';

/** Media goes to the proxy where the server advertises this address: start it with [PROXIED]. */
const MEDIA_ADDRESS = '127.0.0.2';
export const PROXIED = { 'media.advertise': [MEDIA_ADDRESS] };

export async function startProxy(server) {
  const tcp = await tcpProxy(Number(new URL(server.origin).port));
  const udp = await udpProxy(server.media);
  const origin = `http://127.0.0.1:${tcp.port}`;
  return {
    tcp,
    udp,
    /** The page's address by way of the proxy. */
    link: (...what) => server.link(...what).replace(server.origin, origin),
    silence: (on) => {
      tcp.silence(on);
      udp.silence(on);
    },
    close: async () => {
      await Promise.all([tcp.close(), udp.close()]);
    },
  };
}

async function tcpProxy(to) {
  const pairs = new Set();
  let refusing = false;
  let silent = false;
  const join = (pair) => {
    if (silent || refusing) return;
    pair.upstream ??= dial(pair);
    pair.client.pipe(pair.upstream);
    pair.upstream.pipe(pair.client);
  };
  const dial = (pair) => {
    const upstream = connect(to, '127.0.0.1');
    const end = () => {
      pair.client.destroy();
      upstream.destroy();
      pairs.delete(pair);
    };
    for (const socket of [pair.client, upstream]) socket.on('error', end).on('close', end);
    return upstream;
  };
  const part = (pair) => {
    pair.client.unpipe();
    pair.upstream?.unpipe();
    pair.client.pause();
    pair.upstream?.pause();
  };
  const listener = createServer({ pauseOnConnect: true }, (client) => {
    if (refusing) {
      client.destroy();
      return;
    }
    const pair = { client, upstream: undefined };
    client.on('error', () => client.destroy());
    pairs.add(pair);
    join(pair);
  });
  await new Promise((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const drop = () => {
    for (const pair of pairs) {
      pair.client.destroy();
      pair.upstream?.destroy();
    }
    pairs.clear();
  };
  return {
    port: listener.address().port,
    /** Every connection ends, and none can be made until this is undone. */
    cut: (on) => {
      refusing = on;
      if (on) drop();
    },
    /** Nothing comes through; connections wait, as with lost packets. */
    silence: (on) => {
      silent = on;
      for (const pair of pairs) (on ? part : join)(pair);
    },
    close: () => {
      drop();
      return new Promise((resolve) => listener.close(resolve));
    },
  };
}

async function udpProxy({ address, port }) {
  const upstreams = new Map();
  let silent = false;
  let loseEvery = Infinity;
  let passed = 0;
  const loses = () => {
    passed += 1;
    return silent || passed % loseEvery === 0;
  };
  const open = (client) => {
    const upstream = createSocket('udp4');
    upstream.on('message', (bytes) => {
      if (!loses()) front.send(bytes, client.port, client.address);
    });
    upstream.on('error', () => undefined);
    return upstream;
  };
  const front = createSocket('udp4');
  front.on('error', () => undefined);
  front.on('message', (bytes, client) => {
    if (loses()) return;
    const key = `${client.address}:${client.port}`;
    let upstream = upstreams.get(key);
    if (upstream === undefined) {
      upstream = open(client);
      upstreams.set(key, upstream);
    }
    upstream.send(bytes, port, address);
  });
  await new Promise((resolve) => front.bind(port, MEDIA_ADDRESS, resolve));
  const forget = () => {
    const before = [...upstreams.values()];
    upstreams.clear();
    for (const upstream of before) upstream.close();
  };
  return {
    silence: (on) => {
      silent = on;
    },
    /** One datagram of so many is lost, both ways together. */
    lose: (every) => {
      loseEvery = every;
    },
    /** As when a NAT forgets: what comes next comes from other ports, and what is sent to the old ones is lost. */
    rebind: forget,
    close: () => {
      forget();
      return new Promise((resolve) => front.close(resolve));
    },
  };
}
