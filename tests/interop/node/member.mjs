// A participant of the Node real-time SDK whose events can be waited for.

import {
  AudioFrame,
  AudioSource,
  AudioStream,
  LocalAudioTrack,
  Room,
  RoomEvent,
  TrackPublishOptions,
  TrackSource,
} from '@livekit/rtc-node';
import { joinToken, webSocketUrl } from './server.mjs';

export const PATIENCE_MS = 20_000;

const SAMPLE_RATE = 48_000;
const FRAME_SAMPLES = SAMPLE_RATE / 50;
const AUDIO_QUEUE_MS = 100;
const AMPLITUDE = 8_000;

export class Member {
  #record = [];
  #waiting = new Set();
  #tones = [];

  constructor() {
    this.room = new Room();
    for (const event of Object.values(RoomEvent)) {
      this.room.on(event, (...values) => {
        this.#record.push({ event, values });
        for (const look of this.#waiting) look();
      });
    }
  }

  static async join(room, identity, options = {}) {
    const member = new Member();
    const token = options.token ?? (await joinToken(room, identity, options));
    await within(member.room.connect(webSocketUrl, token, { autoSubscribe: true, dynacast: false }), 'joined');
    return member;
  }

  get local() {
    return this.room.localParticipant;
  }

  seen(event, where = () => true) {
    return this.#record.filter((entry) => entry.event === event && where(...entry.values)).map(({ values }) => values);
  }

  /** The values of the first such event, past or to come. */
  sees(event, where = () => true) {
    let look;
    const found = new Promise((resolve) => {
      look = () => {
        const [first] = this.seen(event, where);
        if (first !== undefined) resolve(first);
      };
      this.#waiting.add(look);
      look();
    });
    const what = () => `${event}; what happened: ${this.#record.map((entry) => entry.event).join(', ') || 'nothing'}`;
    return within(found, what).finally(() => this.#waiting.delete(look));
  }

  forget() {
    this.#record = [];
  }

  /** Publishes a tone until the member leaves. */
  async publishTone(hertz = 440) {
    const source = new AudioSource(SAMPLE_RATE, 1, AUDIO_QUEUE_MS);
    const track = LocalAudioTrack.createAudioTrack('tone', source);
    const tone = { source, playing: true };
    tone.done = play(tone, hertz);
    this.#tones.push(tone);
    const options = new TrackPublishOptions({ source: TrackSource.SOURCE_MICROPHONE });
    return within(this.local.publishTrack(track, options), 'published');
  }

  async leave() {
    for (const tone of this.#tones) {
      tone.playing = false;
      await tone.done;
    }
    await this.room.disconnect();
    for (const { source } of this.#tones) await source.close();
  }
}

/** The source's queue sets the pace. */
async function play(tone, hertz) {
  for (let start = 0; tone.playing; start += FRAME_SAMPLES) {
    const samples = Int16Array.from({ length: FRAME_SAMPLES }, (_, index) =>
      Math.round(AMPLITUDE * Math.sin((2 * Math.PI * hertz * (start + index)) / SAMPLE_RATE)),
    );
    await tone.source.captureFrame(new AudioFrame(samples, SAMPLE_RATE, 1, FRAME_SAMPLES));
  }
}

/** Until the track is loud like a tone of ours, or silent. */
export async function hears(track, what) {
  const isIt = { tone: (loudness) => loudness > AMPLITUDE / 8, silence: (loudness) => loudness < AMPLITUDE / 800 }[what];
  const stream = new AudioStream(track, { sampleRate: SAMPLE_RATE, numChannels: 1 });
  const reader = stream.getReader();
  let loudness;
  const listen = async () => {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) throw new Error('the stream of sound ended');
      loudness = Math.sqrt(value.data.reduce((sum, sample) => sum + sample * sample, 0) / value.data.length);
      if (isIt(loudness)) return;
    }
  };
  await within(listen(), () => `${what} heard; the loudness was ${loudness}`).finally(() => reader.cancel());
}

function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => {
      const text = typeof what === 'function' ? what() : what;
      reject(new Error(`not within ${PATIENCE_MS} ms: ${text}`));
    }, PATIENCE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
