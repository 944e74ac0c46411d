/**
 * The one part of the page that speaks to the server. It turns wishes (join, mute, share, leave) into calls of the
 * client library, and the library's events into `MeetingState`. It never touches the document.
 */
import {
  ConnectionError,
  ConnectionQuality,
  DisconnectReason,
  type LocalAudioTrack,
  type LocalVideoTrack,
  type Participant,
  PublishTrackError,
  Room,
  RoomEvent,
  ScreenSharePresets,
  setLogLevel,
  Track,
  type TrackPublication,
} from 'livekit-client';
import type { Media } from '../devices/media';
import { classify } from '../devices/problem';
import type { Options } from '../options';
import { createStore, type Store } from '../store';
import { Encryption, Failures } from './encryption';
import { type Failure, failureOfConnect, failureOfDisconnect, JoinRefused } from './failure';
import { requestToken } from './invite';
import { enterAgain, enterByLink, type News } from './lobby';
import { ANSWER_WITHIN_MS, Patience } from './reconnect';
import { announce, BEFORE, type MeetingState, nameOf, type Notice, readAbilities, readPeople, type Said } from './state';
import { slowable } from './temporal';

export interface JoinRequest {
  room: string;
  name: string;
  token: string | undefined;
  /** The secret of an invitation's link. */
  link: string | undefined;
}

/** Events after which a person looks different. */
const CHANGES = [
  RoomEvent.TrackPublished,
  RoomEvent.TrackUnpublished,
  RoomEvent.TrackSubscribed,
  RoomEvent.TrackUnsubscribed,
  RoomEvent.TrackMuted,
  RoomEvent.TrackUnmuted,
  RoomEvent.TrackStreamStateChanged,
  RoomEvent.LocalTrackPublished,
  RoomEvent.LocalTrackUnpublished,
  RoomEvent.ActiveSpeakersChanged,
  RoomEvent.ParticipantConnected,
  RoomEvent.ParticipantDisconnected,
  RoomEvent.ParticipantNameChanged,
  RoomEvent.ParticipantPermissionsChanged,
  RoomEvent.ConnectionQualityChanged,
] as const;

/** The client library's console messages: for support only, because they name rooms and people. */
export function chooseLogs(debug: boolean): void {
  setLogLevel(debug ? 'warn' : 'silent');
}

export class Meeting {
  readonly store: Store<MeetingState> = createStore<MeetingState>(BEFORE);
  private current: Room | undefined;
  private knock = new AbortController();
  private reading = false;
  /** Set while we change our own microphone: any other change of it came from the host. */
  private ownMute = false;

  constructor(
    private readonly origin: string,
    private readonly options: Options,
    private readonly media: Media,
    /** `undefined` where the meeting is not encrypted from end to end. */
    private readonly encryption?: Encryption,
  ) {}

  /** The client's room, for the support option only. */
  get room(): Room | undefined {
    return this.current;
  }

  async join(request: JoinRequest): Promise<void> {
    if (this.current !== undefined) return;
    // Some browsers leave it out: in apps that show web pages, or where an administrator said so.
    // Nor may a meeting that is to be encrypted go on without it.
    if (!('RTCPeerConnection' in globalThis) || (this.encryption !== undefined && !Encryption.isSupported)) {
      this.store.set({ ...BEFORE, phase: 'ended', failure: 'unsupported' });
      const { camera, microphone } = await this.media.handOver();
      camera?.stop();
      microphone?.stop();
      return;
    }
    await this.enter(request, (knock) => this.tokenFor(request, knock));
  }

  /** Through the door, once there is a token. `way` gets one, and may take its time. */
  private async enter(request: JoinRequest, way: (knock: AbortSignal) => Promise<string>): Promise<void> {
    this.store.set({ ...BEFORE, phase: 'connecting' });
    const room = new Room(this.roomOptions());
    this.current = room;
    this.knock = new AbortController();
    let established = false;
    room.once(RoomEvent.SignalConnected, () => {
      established = true;
    });
    this.listen(room, request);
    try {
      const token = await way(this.knock.signal);
      if (this.current !== room) return;
      await this.encryption?.enable(room);
      await room.connect(this.origin.replace(/^http/, 'ws'), token, { websocketTimeout: ANSWER_WITHIN_MS });
    } catch (error) {
      const words = error instanceof JoinRefused ? error.words : undefined;
      if (this.current === room) await this.end(room, failureOfConnect(error, established), words);
      return;
    }
    // Somebody may have left while the connection was being made.
    if (this.current !== room) return;
    this.store.set({ phase: 'joined', soundBlocked: !room.canPlaybackAudio });
    this.say({ what: 'entered' });
    this.read(room);
    await this.publishPrepared(room);
  }

  private async tokenFor({ room, name, token, link }: JoinRequest, knock: AbortSignal): Promise<string> {
    if (token !== undefined) return token;
    if (link === undefined) return requestToken(room, name);
    const found = await enterByLink(link, knock, (news) => this.hearOfDoor(news, knock));
    if (!knock.aborted) this.store.set({ phase: 'connecting' });
    return found;
  }

  /**
   * A host has sent us out, for good or back to the lobby: the protocol has one reason for both, and the server knows which.
   * While we wait there, camera and microphone are off.
   */
  private async sentOut(request: JoinRequest, link: string): Promise<void> {
    await this.enter(request, async (knock) => {
      const token = await enterAgain(link, knock, (news) => this.hearOfDoor(news, knock));
      if (!knock.aborted) {
        this.store.set({ phase: 'connecting' });
        // What was on before is on again.
        void this.media.start();
      }
      return token;
    });
  }

  private hearOfDoor({ title, wait }: News, knock: AbortSignal): void {
    // Whoever has stopped waiting is elsewhere by now.
    if (knock.aborted) return;
    if (title !== undefined) this.store.set({ title });
    if (wait !== undefined && wait !== this.store.get().wait) this.store.set({ phase: 'waiting', wait });
  }

  async leave(): Promise<void> {
    this.knock.abort();
    const room = this.current;
    if (room !== undefined) await this.end(room, 'left');
  }

  async setMicrophone(on: boolean): Promise<void> {
    this.ownMute = true;
    await this.attempt('microphone', (room) => room.localParticipant.setMicrophoneEnabled(on, this.media.microphoneOptions()));
    this.ownMute = false;
    const isOn = this.current?.localParticipant.isMicrophoneEnabled === true;
    this.media.remember('microphone', isOn);
    this.say({ what: isOn ? 'microphone.on' : 'microphone.off' });
  }

  async setCamera(on: boolean): Promise<void> {
    await this.attempt('camera', (room) => room.localParticipant.setCameraEnabled(on, this.media.cameraOptions()));
    const isOn = this.current?.localParticipant.isCameraEnabled === true;
    this.media.remember('camera', isOn);
    this.say({ what: isOn ? 'camera.on' : 'camera.off' });
  }

  async setScreen(on: boolean): Promise<void> {
    const room = this.current;
    if (room === undefined) return;
    if (on && !('getDisplayMedia' in navigator.mediaDevices)) {
      this.store.set({ notice: { device: 'screen', problem: 'unsupported' } });
      return;
    }
    try {
      this.store.set({ notice: undefined });
      await room.localParticipant.setScreenShareEnabled(on, {
        audio: true,
        contentHint: 'detail',
        resolution: ScreenSharePresets.h1080fps15.resolution,
        selfBrowserSurface: 'exclude',
        surfaceSwitching: 'include',
      });
    } catch (error) {
      if (error instanceof PublishTrackError) this.store.set({ notice: 'permission' });
      // Closing the browser's picker is a decision, not a fault.
      else if (classify(error) !== 'blocked') this.store.set({ notice: { device: 'screen', problem: 'other' } });
    }
  }

  async chooseDevice(kind: 'camera' | 'microphone' | 'speaker', id: string): Promise<void> {
    await this.media.choose(kind, id);
    const room = this.current;
    if (room === undefined) return;
    const browserKind = { camera: 'videoinput', microphone: 'audioinput', speaker: 'audiooutput' } as const;
    try {
      await room.switchActiveDevice(browserKind[kind], id === '' ? 'default' : id, id !== '');
    } catch (error) {
      if (kind !== 'speaker') this.store.set({ notice: { device: kind, problem: classify(error) } });
    }
  }

  /** Browsers let sound start only from a click; this is what the click calls. */
  async hear(): Promise<void> {
    await this.current?.startAudio().catch(() => undefined);
  }

  dismissNotice(): void {
    this.store.set({ notice: undefined });
  }

  reset(): void {
    if (this.current === undefined) this.store.set(BEFORE);
  }

  private roomOptions(): ConstructorParameters<typeof Room>[0] {
    const { codec, singlePeerConnection } = this.options;
    const speaker = this.media.store.get().chosen.speaker;
    return {
      adaptiveStream: true,
      dynacast: true,
      reconnectPolicy: new Patience(),
      ...this.encryption?.roomOptions,
      audioCaptureDefaults: this.media.microphoneOptions(),
      videoCaptureDefaults: this.media.cameraOptions(),
      publishDefaults: {
        simulcast: true,
        screenShareEncoding: ScreenSharePresets.h1080fps15.encoding,
        ...(codec === undefined ? {} : { videoCodec: codec }),
      },
      ...(singlePeerConnection === undefined ? {} : { singlePeerConnection }),
      ...(speaker === undefined ? {} : { audioOutput: { deviceId: speaker } }),
    };
  }

  private async publishPrepared(room: Room): Promise<void> {
    const { camera, microphone } = await this.media.handOver();
    if (this.current !== room) {
      camera?.stop();
      microphone?.stop();
      return;
    }
    // Voice first: it is the smaller and the more urgent of the two.
    const publish = async (track: LocalAudioTrack | LocalVideoTrack | undefined, source: Track.Source, kind: 'camera' | 'microphone') => {
      if (track === undefined) return;
      if (this.store.get().may[kind]) await this.attempt(kind, (to) => to.localParticipant.publishTrack(track, { source }));
      else track.stop();
    };
    await Promise.all([
      publish(microphone, Track.Source.Microphone, 'microphone'),
      publish(camera, Track.Source.Camera, 'camera'),
    ]);
  }

  private async attempt(device: 'camera' | 'microphone', action: (room: Room) => Promise<unknown>): Promise<void> {
    const room = this.current;
    if (room === undefined) return;
    try {
      await action(room);
      if (this.store.get().notice !== undefined) this.store.set({ notice: undefined });
    } catch (error) {
      if (this.current === room) this.store.set({ notice: noticeOf(device, error) });
    }
    this.read(room);
  }

  private listen(room: Room, request: JoinRequest): void {
    for (const event of CHANGES) room.on(event, () => this.read(room));
    const whenJoined = (said: Said) => {
      if (this.store.get().phase === 'joined') this.say(said);
    };
    const link = (state: MeetingState['link']) => () => {
      if (this.current !== room || this.store.get().link === state) return;
      this.store.set({ link: state });
      whenJoined({ what: state === 'up' ? 'reconnected' : 'reconnecting' });
      this.read(room);
    };
    room.on(RoomEvent.Reconnecting, link('reconnecting'));
    room.on(RoomEvent.SignalReconnecting, link('reconnecting'));
    room.on(RoomEvent.Reconnected, link('up'));
    room.on(RoomEvent.ParticipantConnected, (who) => whenJoined({ what: 'joined', name: nameOf(who) }));
    room.on(RoomEvent.ParticipantDisconnected, (who) => whenJoined({ what: 'left', name: nameOf(who) }));
    room.on(RoomEvent.TrackPublished, (track, who) => isScreen(track) && whenJoined({ what: 'sharing', name: nameOf(who) }));
    // Also of one that is published anew after the connection was lost.
    room.on(RoomEvent.LocalTrackPublished, (track) => void (isScreen(track) && slowable(track.videoTrack?.sender)));
    room.on(RoomEvent.TrackUnpublished, (track, who) => isScreen(track) && whenJoined({ what: 'unshared', name: nameOf(who) }));
    room.on(RoomEvent.ConnectionQualityChanged, (quality, who) => this.noticeLost(quality, who));
    const failures = new Failures();
    room.on(RoomEvent.EncryptionError, (error, who) => {
      // Without a key of our own, the library does not say whose media it was.
      const whose = this.encryption === undefined ? encryptedPeople(room) : [failures.note(error, who?.identity, performance.now())];
      this.noticeUnreadable(room, whose.filter((one) => one !== undefined));
    });
    room.on(RoomEvent.TrackMuted, (track, who) => this.noticeHostMute(track, who));
    room.on(RoomEvent.AudioPlaybackStatusChanged, () => this.store.set({ soundBlocked: !room.canPlaybackAudio }));
    room.on(RoomEvent.Disconnected, (reason?: DisconnectReason) => {
      // A join that fails reports itself, with more detail, through `connect`.
      if (this.current !== room || this.store.get().phase !== 'joined') return;
      if (reason === DisconnectReason.PARTICIPANT_REMOVED && request.link !== undefined) void this.sentOut(request, request.link);
      else void this.end(room, failureOfDisconnect(reason));
    });
  }

  /** Somebody else's connection is interrupted. They are still in the meeting, and will be back or leave. */
  private noticeLost(quality: ConnectionQuality, who: Participant): void {
    if (quality === ConnectionQuality.Lost && !who.isLocal) this.say({ what: 'lost', name: nameOf(who) });
  }

  /** What somebody sends cannot be decrypted: one of us has the wrong key, or none. */
  private noticeUnreadable(room: Room, identities: string[]): void {
    const known = this.store.get().unreadable;
    const more = identities.filter((one) => one !== room.localParticipant.identity && !known.includes(one));
    if (this.current === room && more.length > 0) this.store.set({ unreadable: [...known, ...more] });
    this.read(room);
  }

  private noticeHostMute(track: TrackPublication, who: Participant): void {
    if (!who.isLocal || track.source !== Track.Source.Microphone || this.ownMute) return;
    this.media.remember('microphone', false);
    this.say({ what: 'muted-by-host' });
  }

  /** Many events arrive together; the page is told once. */
  private read(room: Room): void {
    if (this.reading) return;
    this.reading = true;
    queueMicrotask(() => {
      this.reading = false;
      if (this.current === room && this.store.get().phase === 'joined') {
        this.store.set({ people: readPeople(room, this.encryption !== undefined), may: readAbilities(room.localParticipant) });
      }
    });
  }

  private say(said: Said): void {
    this.store.set({ announcements: announce(this.store.get().announcements, said) });
  }

  private async end(room: Room, failure: Failure, words?: string): Promise<void> {
    this.current = undefined;
    this.store.set({ ...BEFORE, phase: 'ended', failure, words });
    await room.disconnect().catch(() => undefined);
    const { camera, microphone } = await this.media.handOver();
    camera?.stop();
    microphone?.stop();
  }
}

function encryptedPeople(room: Room): string[] {
  const people = [...room.remoteParticipants.values()];
  return people.filter((one) => [...one.trackPublications.values()].some((track) => track.isEncrypted)).map((one) => one.identity);
}

function isScreen(track: TrackPublication): boolean {
  return track.source === Track.Source.ScreenShare;
}

function noticeOf(device: 'camera' | 'microphone', error: unknown): Notice {
  if (error instanceof PublishTrackError && error.status === 403) return 'permission';
  if (error instanceof ConnectionError || error instanceof PublishTrackError) return { device, problem: 'other' };
  return { device, problem: classify(error) };
}
