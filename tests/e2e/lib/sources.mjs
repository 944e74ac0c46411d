// Runs inside the page, before its own scripts: what its camera and its screen show, whatever the page asks for.

/**
 * `camera: { width, height, fps }` is the browser's fake camera in that size, with `detail: true` a picture that is hard to
 * encode. `screen: { fps }` is a page of text in 1080p with a detailed picture in it that changes so often.
 */
export function fakeSources({ camera, screen }) {
  const { mediaDevices } = navigator;
  const getUserMedia = mediaDevices.getUserMedia.bind(mediaDevices);

  // Mulberry32: small, and the same everywhere.
  let state = 1;
  const random = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  /** Squares of random grey: nothing of it can be foretold from the picture before. */
  const grains = (context, x, y, width, height, grain) => {
    const small = new ImageData(Math.ceil(width / grain), Math.ceil(height / grain));
    for (let at = 0; at < small.data.length; at += 4) small.data.fill(256 * random(), at, at + 3).fill(255, at + 3, at + 4);
    const scaled = new OffscreenCanvas(small.width, small.height);
    scaled.getContext('2d').putImageData(small, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(scaled, x, y, width, height);
  };
  const canvasOf = (width, height, fps, draw) => {
    const canvas = document.createElement('canvas');
    Object.assign(canvas, { width, height });
    const context = canvas.getContext('2d');
    draw(context, 0);
    let frame = 0;
    setInterval(() => draw(context, (frame += 1)), 1_000 / fps);
    return canvas.captureStream(fps);
  };

  if (camera !== undefined) {
    const { width, height, fps, detail } = camera;
    mediaDevices.getUserMedia = async (constraints) => {
      if (!constraints.video) return getUserMedia(constraints);
      if (!detail) {
        return getUserMedia({ ...constraints, video: { width: { exact: width }, height: { exact: height }, frameRate: { ideal: fps } } });
      }
      const stream = canvasOf(width, height, fps, (context) => grains(context, 0, 0, width, height, 10));
      if (constraints.audio) for (const track of (await getUserMedia({ audio: constraints.audio })).getAudioTracks()) stream.addTrack(track);
      return stream;
    };
  }
  if (screen !== undefined) {
    mediaDevices.getDisplayMedia = async () =>
      canvasOf(1_920, 1_080, screen.fps, (context, frame) => {
        if (frame === 0) {
          context.fillStyle = 'white';
          context.fillRect(0, 0, 1_920, 1_080);
          context.fillStyle = 'black';
          context.font = '18px sans-serif';
          for (let line = 1; line < 50; line += 1) context.fillText(`${line}: `.padEnd(160, 'report of the meeting '), 20, 21 * line);
        }
        grains(context, 1_400, 40, screen.detail, screen.detail, 5);
      });
  }
}
