/** What the page knows of a meeting: plain values, and how they are read out of the client's room. */
import { ConnectionQuality, Track } from 'livekit-client';
import type { LocalParticipant, Participant, RemoteParticipant, Room, TrackPublication } from 'livekit-client';
import type { DeviceProblem } from '../devices/problem';
import type { Failure } from './failure';
import type { Wait } from './lobby';

export type MediaTrack = Track;

export interface Person {
  identity: string;
  name: string;
  local: boolean;
  speaking: boolean;
  microphone: 'on' | 'muted' | 'none';
  camera: MediaTrack | undefined;
  screen: MediaTrack | undefined;
  sharing: boolean;
  paused: boolean;
  /** Their connection is interrupted. */
  lost: boolean;
  sound: MediaTrack[];
}

export type Said =
  | { what: 'joined' | 'left' | 'lost' | 'sharing' | 'unshared'; name: string }
  | { what: 'entered' | 'muted-by-host' | 'reconnecting' | 'reconnected' }
  | { what: 'microphone.on' | 'microphone.off' | 'camera.on' | 'camera.off' };

export interface Announcement {
  id: number;
  said: Said;
}

export type Notice = { device: 'camera' | 'microphone'; problem: DeviceProblem } | { device: 'screen'; problem: 'other' | 'unsupported' } | 'permission';

export type Ability = 'microphone' | 'camera' | 'screen';

export interface MeetingState {
  phase: 'idle' | 'connecting' | 'waiting' | 'joined' | 'ended';
  /** Of a scheduled meeting, once the server has told it. */
  title: string | undefined;
  /** In the lobby. */
  wait: Wait | undefined;
  failure: Failure | undefined;
  /** What a host said about it. */
  words: string | undefined;
  link: 'up' | 'reconnecting';
  people: Person[];
  may: Record<Ability, boolean>;
  /** Identities of those whose sound and picture cannot be decrypted. */
  unreadable: string[];
  soundBlocked: boolean;
  notice: Notice | undefined;
  announcements: Announcement[];
}

export const BEFORE: MeetingState = {
  phase: 'idle',
  title: undefined,
  wait: undefined,
  failure: undefined,
  words: undefined,
  link: 'up',
  people: [],
  may: { microphone: true, camera: true, screen: true },
  unreadable: [],
  soundBlocked: false,
  notice: undefined,
  announcements: [],
};

/** A screen reader reads the newest; older ones leave the page. */
const ANNOUNCEMENTS_KEPT = 4;

export function announce(list: Announcement[], said: Said): Announcement[] {
  const id = (list.at(-1)?.id ?? 0) + 1;
  return [...list, { id, said }].slice(-ANNOUNCEMENTS_KEPT);
}

/** The remote people in the order of their arrival, then ourselves: nobody's tile jumps when somebody speaks. */
export function readPeople(room: Room, decrypts: boolean): Person[] {
  const read = (participant: RemoteParticipant | LocalParticipant) => readPerson(participant, decrypts);
  const remote = [...room.remoteParticipants.values()].sort(byArrival).map(read);
  return [...remote, read(room.localParticipant)];
}

export function readAbilities(me: LocalParticipant): MeetingState['may'] {
  const granted = me.permissions;
  if (granted === undefined) return BEFORE.may;
  const may = (source: Track.Source) => {
    const sources = granted.canPublishSources;
    return granted.canPublish && (sources.length === 0 || sources.includes(Track.sourceToProto(source)));
  };
  return {
    microphone: may(Track.Source.Microphone),
    camera: may(Track.Source.Camera),
    screen: may(Track.Source.ScreenShare),
  };
}

export function nameOf(participant: Participant): string {
  const name = participant.name?.trim();
  return name === undefined || name === '' ? participant.identity : name;
}

/** `decrypts` is false where encrypted media would be played as it comes, which is noise. */
function readPerson(participant: RemoteParticipant | LocalParticipant, decrypts: boolean): Person {
  const playable = (publication: TrackPublication) => decrypts || !publication.isEncrypted || participant.isLocal;
  const microphone = participant.getTrackPublication(Track.Source.Microphone);
  const camera = participant.getTrackPublication(Track.Source.Camera);
  const screen = participant.getTrackPublication(Track.Source.ScreenShare);
  return {
    identity: participant.identity,
    name: nameOf(participant),
    local: participant.isLocal,
    speaking: participant.isSpeaking,
    microphone: microphone === undefined ? 'none' : microphone.isMuted ? 'muted' : 'on',
    camera: camera?.isMuted === false && playable(camera) ? camera.track : undefined,
    screen: screen?.isMuted === false && playable(screen) ? screen.track : undefined,
    sharing: screen !== undefined && !screen.isMuted,
    paused: camera?.track?.streamState === Track.StreamState.Paused,
    lost: !participant.isLocal && participant.connectionQuality === ConnectionQuality.Lost,
    sound: participant.isLocal ? [] : [...participant.audioTrackPublications.values()].flatMap((p) => (p.track && playable(p) ? [p.track] : [])),
  };
}

function byArrival(a: RemoteParticipant, b: RemoteParticipant): number {
  const difference = (a.joinedAt?.getTime() ?? 0) - (b.joinedAt?.getTime() ?? 0);
  return difference === 0 ? a.identity.localeCompare(b.identity) : difference;
}
