/** Why a camera, a microphone or a screen did not start, in the few kinds that have different cures. */

export type DeviceProblem = 'not-found' | 'blocked' | 'busy' | 'insecure' | 'unsupported' | 'other';

/** What the browser can do at all; passed in, so that every combination can be tested. */
export interface Surroundings {
  secure: boolean;
  capture: boolean;
}

export function surroundings(): Surroundings {
  // Browsers leave `mediaDevices` out where they do not support it and on pages that are not secure.
  return { secure: globalThis.isSecureContext, capture: (navigator as Partial<Navigator>).mediaDevices !== undefined };
}

/** Media Capture and Streams, section 10.2, lists the error names; older browsers used others. */
export function classify(error: unknown, where: Surroundings = surroundings()): DeviceProblem {
  if (!where.secure) return 'insecure';
  if (!where.capture) return 'unsupported';
  switch (nameOf(error)) {
    case 'NotFoundError':
    case 'DevicesNotFoundError':
    case 'OverconstrainedError':
      return 'not-found';
    case 'NotAllowedError':
    case 'PermissionDeniedError':
    case 'SecurityError':
      return 'blocked';
    case 'NotReadableError':
    case 'TrackStartError':
    case 'AbortError':
      return 'busy';
    case 'DeviceUnsupportedError':
    case 'NotSupportedError':
      return 'unsupported';
    default:
      return 'other';
  }
}

function nameOf(error: unknown): string | undefined {
  return error instanceof Error || error instanceof DOMException ? error.name : undefined;
}
