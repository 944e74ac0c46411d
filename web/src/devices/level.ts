/** How loud a microphone is, from 0 to 1. Knows sound, not pages. */

/** Speech at a normal distance has an RMS near 0.1; the square root spreads the quiet half over the bar. */
export function levelOf(samples: Float32Array): number {
  if (samples.length === 0) return 0;
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  return Math.min(1, Math.sqrt(Math.sqrt(sum / samples.length)) * 1.6);
}

export interface LevelSource {
  read(): number;
  close(): void;
}

/** Listens to a copy of the track: the original may be muted, stopped or published meanwhile. */
export function listenTo(track: MediaStreamTrack): LevelSource {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  analyser.fftSize = 1024;
  const source = context.createMediaStreamSource(new MediaStream([track]));
  source.connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  // Without a click on the page browsers start audio contexts asleep; the level then stays at zero until the first one.
  void context.resume().catch(() => undefined);
  return {
    read: () => {
      analyser.getFloatTimeDomainData(samples);
      return levelOf(samples);
    },
    close: () => {
      source.disconnect();
      void context.close().catch(() => undefined);
    },
  };
}
