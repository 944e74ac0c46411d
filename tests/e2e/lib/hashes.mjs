// Runs inside the page, before its own scripts: hashes every encoded frame behind the encoder and before the decoder
// (RTCRtpScriptTransform), so that a test can compare what was sent with what arrived.

export function hashFrames() {
  const worker = () => {
    const hex = (buffer) => Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, '0')).join('');
    onrtctransform = ({ transformer }) => {
      const { side, kind } = transformer.options;
      const hash = new TransformStream({
        async transform(frame, controller) {
          const digest = await crypto.subtle.digest('SHA-256', frame.data);
          const { mimeType } = frame.getMetadata();
          postMessage({ side, kind, mimeType, type: frame.type, size: frame.data.byteLength, hash: hex(digest) });
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
