// Temporal layers of a shared screen: what a receiver's narrow line does not carry, the server leaves out as every second
// picture, or three of four, and the rest keeps its size. Without them it can only make the picture smaller.

/** Three temporal layers in one size, by the W3C's WebRTC-SVC. */
const THREE_LAYERS = 'L1T3';

interface LayeredEncoding extends RTCRtpEncodingParameters {
  scalabilityMode?: string;
}

/** Has each size of what `sender` sends come in temporal layers, where the browser and the codec can; else all stays as it was. */
export async function slowable(sender: RTCRtpSender | undefined): Promise<void> {
  if (sender === undefined) return;
  const parameters = sender.getParameters();
  const encodings: LayeredEncoding[] = parameters.encodings;
  // The library says itself how a codec of several sizes in one stream is layered.
  if (encodings.some(({ scalabilityMode }) => scalabilityMode !== undefined && scalabilityMode !== 'L1T1')) return;
  for (const encoding of encodings) encoding.scalabilityMode = THREE_LAYERS;
  await sender.setParameters(parameters).catch(() => undefined);
}
