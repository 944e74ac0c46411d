/**
 * This browser's own camera and microphone before the meeting: starting, stopping, choosing. Hands its tracks over to
 * the meeting at the end. Knows devices; knows neither the server nor the page.
 */
import { createLocalAudioTrack, createLocalTracks, createLocalVideoTrack, LocalAudioTrack, LocalVideoTrack } from 'livekit-client';
import type { AudioCaptureOptions, VideoCaptureOptions } from 'livekit-client';
import type { Options } from '../options';
import { createStore, type Store } from '../store';
import { classify, type DeviceProblem, surroundings } from './problem';

export type DeviceKind = 'camera' | 'microphone';
export type ChoiceKind = DeviceKind | 'speaker';

export interface Device<T> {
  wanted: boolean;
  track: T | undefined;
  problem: DeviceProblem | undefined;
}

export interface Choice {
  id: string;
  label: string;
}

export interface MediaState {
  starting: boolean;
  camera: Device<LocalVideoTrack>;
  microphone: Device<LocalAudioTrack>;
  choices: Record<ChoiceKind, Choice[]>;
  chosen: Record<ChoiceKind, string | undefined>;
}

export interface HandedOver {
  camera: LocalVideoTrack | undefined;
  microphone: LocalAudioTrack | undefined;
}

const KINDS: Record<ChoiceKind, MediaDeviceKind> = { camera: 'videoinput', microphone: 'audioinput', speaker: 'audiooutput' };

export class Media {
  readonly store: Store<MediaState> = createStore<MediaState>({
    starting: false,
    camera: { wanted: true, track: undefined, problem: undefined },
    microphone: { wanted: true, track: undefined, problem: undefined },
    choices: { camera: [], microphone: [], speaker: [] },
    chosen: { camera: undefined, microphone: undefined, speaker: undefined },
  });

  private underWay: Promise<void> | undefined;
  private watching = false;

  constructor(private readonly options: Pick<Options, 'video'>) {}

  /** Starts what is wanted and not running; callers at the same time share one start. */
  start(): Promise<void> {
    this.underWay ??= this.startWanted().finally(() => {
      this.underWay = undefined;
    });
    return this.underWay;
  }

  async setWanted(kind: DeviceKind, wanted: boolean): Promise<void> {
    const device = this.store.get()[kind];
    this.patch(kind, { wanted, problem: undefined });
    // The microphone keeps running while off: turning it on must not lose the first word.
    if (kind === 'microphone' && device.track) await (wanted ? device.track.unmute() : device.track.mute());
    else if (wanted) await this.start();
    else {
      device.track?.stop();
      this.patch(kind, { track: undefined });
    }
  }

  async choose(kind: ChoiceKind, id: string): Promise<void> {
    const { chosen } = this.store.get();
    this.store.set({ chosen: { ...chosen, [kind]: id === '' ? undefined : id } });
    if (kind === 'speaker') return;
    const { track, wanted } = this.store.get()[kind];
    try {
      if (track) await track.setDeviceId(id === '' ? 'default' : { exact: id });
      else if (wanted) await this.start();
      this.patch(kind, { problem: undefined });
    } catch (error) {
      this.fail(kind, error);
    }
  }

  /** What was on at the end of a meeting is on when it is joined again, and nothing else. */
  remember(kind: DeviceKind, wanted: boolean): void {
    this.patch(kind, { wanted });
  }

  /** Waits for a start under way, then gives the tracks away; the caller stops them. */
  async handOver(): Promise<HandedOver> {
    await this.underWay;
    const { camera, microphone } = this.store.get();
    this.patch('camera', { track: undefined });
    this.patch('microphone', { track: undefined });
    return { camera: camera.track, microphone: microphone.track };
  }

  cameraOptions(): VideoCaptureOptions {
    const id = this.store.get().chosen.camera;
    const resolution =
      this.options.video === 'low' ? { width: 320, height: 180, frameRate: 15 } : { width: 1280, height: 720, frameRate: 30 };
    return { resolution, ...(id === undefined ? {} : { deviceId: { exact: id } }) };
  }

  microphoneOptions(): AudioCaptureOptions {
    const id = this.store.get().chosen.microphone;
    return {
      autoGainControl: true,
      echoCancellation: true,
      noiseSuppression: true,
      ...(id === undefined ? {} : { deviceId: { exact: id } }),
    };
  }

  /** The list of devices; browsers give names only after the first permission. */
  async refreshChoices(): Promise<void> {
    if (!surroundings().capture) return;
    const found = await navigator.mediaDevices.enumerateDevices().catch(() => []);
    const of = (kind: ChoiceKind) =>
      found
        .filter((device) => device.kind === KINDS[kind] && device.deviceId !== '' && device.deviceId !== 'default')
        .map((device) => ({ id: device.deviceId, label: device.label }));
    this.store.set({ choices: { camera: of('camera'), microphone: of('microphone'), speaker: of('speaker') } });
  }

  private async startWanted(): Promise<void> {
    const { camera, microphone } = this.store.get();
    const needCamera = camera.wanted && !camera.track;
    const needMicrophone = microphone.wanted && !microphone.track;
    if (!needCamera && !needMicrophone) return;
    this.store.set({ starting: true });
    this.watch();
    const together = needCamera && needMicrophone && (await this.startBoth());
    if (!together) {
      // One missing device must not take the other with it.
      if (needMicrophone) await this.startOne('microphone');
      if (needCamera) await this.startOne('camera');
    }
    await this.refreshChoices();
    this.store.set({ starting: false });
  }

  /** One question instead of two, where the browser asks at all. */
  private async startBoth(): Promise<boolean> {
    try {
      const tracks = await createLocalTracks({ audio: this.microphoneOptions(), video: this.cameraOptions() });
      for (const track of tracks) this.take(track);
      return true;
    } catch {
      return false;
    }
  }

  private async startOne(kind: DeviceKind): Promise<void> {
    try {
      this.take(
        kind === 'camera' ? await createLocalVideoTrack(this.cameraOptions()) : await createLocalAudioTrack(this.microphoneOptions()),
      );
    } catch (error) {
      this.fail(kind, error);
    }
  }

  private take(track: unknown): void {
    if (track instanceof LocalVideoTrack) this.keep('camera', track);
    else if (track instanceof LocalAudioTrack) this.keep('microphone', track);
  }

  /** Somebody may have turned the device off, or started another, while this one was starting. */
  private keep<K extends DeviceKind>(kind: K, track: NonNullable<MediaState[K]['track']>): void {
    const device = this.store.get()[kind];
    if (!device.wanted || device.track) track.stop();
    else this.patch(kind, { track, problem: undefined } as Partial<MediaState[K]>);
  }

  private fail(kind: DeviceKind, error: unknown): void {
    this.store.get()[kind].track?.stop();
    this.patch(kind, { track: undefined, problem: classify(error) });
  }

  private patch<K extends DeviceKind>(kind: K, change: Partial<MediaState[K]>): void {
    this.store.set({ [kind]: { ...this.store.get()[kind], ...change } });
  }

  private watch(): void {
    if (this.watching || !surroundings().capture) return;
    this.watching = true;
    navigator.mediaDevices.addEventListener('devicechange', () => void this.refreshChoices());
  }
}
