// Runs inside the page, before its own scripts: hashes every encoded frame behind the encoder and before the decoder
// (RTCRtpScriptTransform), so that a test can compare what was sent with what arrived.

export function hashFrames() {
  const worker = () => {
    const hex = (buffer) => Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, '0')).join('');
    // AV1 over RTP leaves out temporal delimiters and rewrites the size fields of OBUs (the AV1 RTP format, section 5):
    // compared are the OBUs themselves, header type and payload.
    const obus = (bytes) => {
      const parts = [];
      let at = 0;
      while (at < bytes.length) {
        const head = bytes[at];
        const type = (head >> 3) & 15;
        at += head & 4 ? 2 : 1;
        let size = bytes.length - at;
        if (head & 2) {
          size = 0;
          for (let shift = 0; ; shift += 7) {
            const byte = bytes[at];
            at += 1;
            size += (byte & 127) * 2 ** shift;
            if (byte < 128) break;
          }
        }
        if (type !== 2) parts.push(Uint8Array.of(type), bytes.subarray(at, at + size));
        at += size;
      }
      return new Uint8Array(parts.flatMap((part) => [...part]));
    };
    const compared = (mimeType, data) => (mimeType?.toLowerCase() === 'video/av1' ? obus(new Uint8Array(data)) : data);
    onrtctransform = ({ transformer }) => {
      const { side, kind } = transformer.options;
      const hash = new TransformStream({
        async transform(frame, controller) {
          const { mimeType } = frame.getMetadata();
          const bytes = compared(mimeType, frame.data);
          const digest = await crypto.subtle.digest('SHA-256', bytes);
          postMessage({ side, kind, mimeType, type: frame.type, size: bytes.byteLength, hash: hex(digest) });
          controller.enqueue(frame);
        },
      });
      transformer.readable.pipeThrough(hash).pipeTo(transformer.writable).catch(() => undefined);
    };
  };
  const frames = [];
  Object.defineProperty(window, '__frames', { value: frames });
  const source = URL.createObjectURL(new Blob([`(${worker})()`], { type: 'text/javascript' }));
  const transforms = new Worker(source);
  transforms.onmessage = ({ data }) => frames.push(data);
  const watch = (end, side, kind) => {
    if (end.transform) return;
    end.transform = new RTCRtpScriptTransform(transforms, { side, kind });
  };

  const { addTransceiver, addTrack } = RTCPeerConnection.prototype;
  RTCPeerConnection.prototype.addTransceiver = function (track, ...rest) {
    const transceiver = addTransceiver.call(this, track, ...rest);
    if (typeof track !== 'string') watch(transceiver.sender, 'sent', track.kind);
    // Its receiver may be at work before anybody hears of a track.
    watch(transceiver.receiver, 'received', transceiver.receiver.track.kind);
    return transceiver;
  };
  RTCPeerConnection.prototype.addTrack = function (track, ...rest) {
    const sender = addTrack.call(this, track, ...rest);
    watch(sender, 'sent', track.kind);
    return sender;
  };
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...settings) {
      super(...settings);
      this.addEventListener('track', ({ receiver }) => watch(receiver, 'received', receiver.track.kind));
    }
  };
}
