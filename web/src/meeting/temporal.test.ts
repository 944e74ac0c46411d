import { expect, it, vi } from 'vitest';
import { slowable } from './temporal';

function sender(modes: (string | undefined)[], accepts = true) {
  const encodings = modes.map((scalabilityMode) => (scalabilityMode === undefined ? {} : { scalabilityMode }));
  const setParameters = vi.fn(() => (accepts ? Promise.resolve() : Promise.reject(new DOMException('not here', 'OperationError'))));
  return { encodings, setParameters, getParameters: () => ({ encodings }) } as unknown as RTCRtpSender & { encodings: object[] };
}

it('has every size come in temporal layers', async () => {
  const simulcast = sender([undefined, 'L1T1']);
  await slowable(simulcast);
  expect(simulcast.setParameters).toHaveBeenCalledWith({ encodings: [{ scalabilityMode: 'L1T3' }, { scalabilityMode: 'L1T3' }] });
});

it('leaves a codec alone that is layered already', async () => {
  const layered = sender(['L3T3_KEY']);
  await slowable(layered);
  expect(layered.setParameters).not.toHaveBeenCalled();
});

it('goes on where the browser cannot', async () => {
  await expect(slowable(sender([undefined], false))).resolves.toBeUndefined();
  await expect(slowable(undefined)).resolves.toBeUndefined();
});
