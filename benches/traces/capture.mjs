#!/usr/bin/env node
// Takes a trace of what Chromium sends to the server: camera, microphone and screen of one page. Microphone and screen are
// Chromium's fake devices, and the camera is a drawing that is as hard to encode as a moving picture. The traces beside this
// script were taken with it. Needs a built server, `npm ci` in web and in tests/e2e, Python 3 and CAP_NET_RAW.
//
//   benches/traces/capture.mjs one-layer|simulcast [SECONDS] > FILE
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { closeAll, launchChromium, newPage } from '../../tests/e2e/lib/chromium.mjs';
import { startServer } from '../../tests/e2e/lib/server.mjs';

const [mode = 'one-layer', seconds = '10'] = process.argv.slice(2);
/** Until the bandwidth estimate has settled. */
const WARM_UP_MS = 12_000;
/** Of the authentication tag, in bytes: AES-GCM. */
const TAG_LEN = 16;
const local = (path) => fileURLToPath(new URL(path, import.meta.url));

const client = await readFile(local('../../web/node_modules/livekit-client/dist/livekit-client.umd.js'));
const pages = createServer((request, response) => {
  const script = request.url === '/client.js';
  response.setHeader('content-type', script ? 'text/javascript' : 'text/html');
  response.end(script ? client : '<!doctype html><title>capture</title><script src="/client.js"></script>');
});
await new Promise((resolve) => pages.listen(0, '127.0.0.1', resolve));

const server = await startServer();
const browser = await launchChromium();
try {
  const page = await newPage(browser);
  await page.goto(`http://127.0.0.1:${pages.address().port}/`);
  await page.evaluate(publish, { url: server.origin.replace('http', 'ws'), token: server.token('trace', 'sender'), simulcast: mode === 'simulcast' });
  await page.waitForTimeout(WARM_UP_MS);
  const packets = await sniff(server.media.port, seconds);
  const streams = await page.evaluate(describe);
  const settings = await page.evaluate(() => window.tracks);
  print(packets, streams, settings, browser.version());
  await closeAll(page);
} finally {
  await browser.close();
  await server.stop();
  pages.close();
}

/** In the page. */
async function publish({ url, token, simulcast }) {
  const { Room, Track, VideoPresets, createLocalTracks, createLocalScreenTracks } = window.LivekitClient;
  const peers = (window.peers = []);
  const Original = window.RTCPeerConnection;
  window.RTCPeerConnection = function (...args) {
    const peer = new Original(...args);
    peers.push(peer);
    return peer;
  };
  window.RTCPeerConnection.prototype = Original.prototype;
  const room = new Room({ dynacast: false });
  await room.connect(url, token);
  const microphone = await createLocalTracks({ audio: true });
  const screen = await createLocalScreenTracks({ audio: false });
  const tracks = [
    [Track.Source.Microphone, microphone[0].mediaStreamTrack],
    [Track.Source.Camera, restlessPicture()],
    [Track.Source.ScreenShare, screen[0].mediaStreamTrack],
  ];
  window.tracks = {};
  for (const [source, track] of tracks) {
    const { width, height, frameRate } = track.getSettings();
    window.tracks[source] = { id: track.id, width, height, frameRate };
    // VP8, so that every server can read the frames; no RED, so that an audio packet is one frame.
    const options = { simulcast: simulcast && source === Track.Source.Camera, videoCodec: 'vp8', red: false };
    const encoding = source === Track.Source.Camera ? { videoEncoding: VideoPresets.h720.encoding } : {};
    await room.localParticipant.publishTrack(track, { source, ...options, ...encoding });
  }

  // The fake camera's picture takes a fraction of the bit rate that faces take; this one takes all that it may have.
  function restlessPicture() {
    const canvas = Object.assign(document.createElement('canvas'), { width: 1280, height: 720 });
    const draw = canvas.getContext('2d');
    setInterval(() => {
      for (let patch = 0; patch < 60; patch += 1) {
        draw.fillStyle = `hsl(${Math.random() * 360} 30% 50%)`;
        draw.fillRect(Math.random() * 1280, Math.random() * 720, 40, 40);
      }
    }, 33);
    return canvas.captureStream(30).getVideoTracks()[0];
  }
}

/** In the page: the name of each SSRC that is sent. */
async function describe() {
  const streams = {};
  for (const peer of window.peers) {
    for (const sender of peer.getSenders().filter(({ track }) => track)) {
      const source = Object.keys(window.tracks).find((name) => window.tracks[name].id === sender.track.id);
      for (const report of (await sender.getStats()).values()) {
        if (report.type === 'outbound-rtp') streams[report.ssrc] = [source, report.rid].filter(Boolean).join(' ');
      }
    }
  }
  return streams;
}

async function sniff(port, duration) {
  const child = spawn('python3', [local('sniff.py'), String(port), duration], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (part) => { text += part; });
  const code = await new Promise((resolve) => child.once('close', resolve));
  if (code !== 0) throw new Error(`nothing could be captured: code ${code}`);
  return text.trim().split('\n').map((line) => line.split(' ').map(Number));
}

function print(packets, streams, settings, version) {
  const ssrcs = Object.keys(streams).map(Number).sort((a, b) => streams[a].localeCompare(streams[b]));
  const media = packets.filter(([, ssrc]) => ssrcs.includes(ssrc));
  const frames = new Map(ssrcs.map((ssrc) => [ssrc, { number: -1 }]));
  const lines = [
    `# What Chromium ${version} sent to the server: ${seconds} s, VP8 and Opus, ${mode === 'simulcast' ? 'camera with three layers' : 'camera with one layer'}.`,
    '# Taken on the loopback device by benches/traces/capture.mjs, from RTP headers. Retransmissions and probes are left out.',
    "# Microphone and screen are Chromium's fake devices, the camera is a restless drawing.",
    ...Object.entries(settings).map(([source, { width, height, frameRate }]) =>
      `# ${source}${width ? `: ${width} x ${height} at ${Math.round(frameRate)} pictures a second` : ''}`),
    '# A line is one packet: microseconds since the start, stream, marker, number of the frame, bytes of payload.',
    ...ssrcs.map((ssrc, index) => `stream ${index} ${streams[ssrc]}`),
  ];
  const start = media[0][0];
  for (const [at, ssrc, , marker, timestamp, length] of media) {
    const frame = frames.get(ssrc);
    if (frame.timestamp !== timestamp) Object.assign(frame, { timestamp, number: frame.number + 1 });
    lines.push([Math.round((at - start) / 1_000), ssrcs.indexOf(ssrc), marker, frame.number, length - TAG_LEN].join(' '));
  }
  console.log(lines.join('\n'));
  console.error(`${media.length} of ${packets.length} packets, ${ssrcs.length} streams`);
}
