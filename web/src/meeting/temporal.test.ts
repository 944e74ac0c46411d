import { expect, it, vi } from 'vitest';
import { slowable } from './temporal';

function layered(modes: (string | undefined)[], accepts = true) {
  const encodings = modes.map((scalabilityMode) => (scalabilityMode === undefined ? {} : { scalabilityMode }));
  const setParameters = vi.fn(() => (accepts ? Promise.resolve() : Promise.reject(new DOMException('not here', 'OperationError'))));
  return { setParameters, sender: { setParameters, getParameters: () => ({ encodings }) } as unknown as RTCRtpSender };
}

it('has every size come in temporal layers', async () => {
  const { sender, setParameters } = layered([undefined, 'L1T1']);
  await slowable(sender);
  expect(setParameters).toHaveBeenCalledWith({ encodings: [{ scalabilityMode: 'L1T3' }, { scalabilityMode: 'L1T3' }] });
});

it('leaves a codec alone that is layered already', async () => {
  const { sender, setParameters } = layered(['L3T3_KEY']);
  await slowable(sender);
  expect(setParameters).not.toHaveBeenCalled();
});

it('goes on where the browser cannot', async () => {
  await expect(slowable(layered([undefined], false).sender)).resolves.toBeUndefined();
  await expect(slowable(undefined)).resolves.toBeUndefined();
});
