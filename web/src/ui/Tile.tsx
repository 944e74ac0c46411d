/** One person: the picture or initials, the name, the microphone, the frame of the active speaker. */
import { memo } from 'react';
import { t } from '../i18n';
import type { Person } from '../meeting/state';
import { MicrophoneOffIcon } from './icons';
import { initialsOf, labelOf, toneOf } from './person';
import { VideoView } from './VideoView';

export const Tile = memo(function Tile({ person }: { person: Person }) {
  const label = labelOf(person);
  const silent = person.microphone !== 'on';
  const state = [person.lost && t('tile.lost'), silent && t('tile.muted'), person.speaking && t('tile.speaking')].filter(Boolean).join(', ');
  return (
    <li className={`tile${person.speaking ? ' tile--speaking' : ''}`} data-identity={person.identity} aria-label={state === '' ? label : `${label}, ${state}`}>
      {person.camera ? (
        <VideoView track={person.camera} label={label} mirrored={person.local} />
      ) : (
        <span className={`tile__initials tile__initials--${toneOf(person.identity)}`} aria-hidden="true">
          {initialsOf(person.name)}
        </span>
      )}
      {person.lost ? (
        <span className="tile__paused" data-lost>
          {t('tile.lost')}
        </span>
      ) : (
        person.paused && <span className="tile__paused">{t('tile.paused')}</span>
      )}
      <span className="tile__name" aria-hidden="true">
        {silent && <MicrophoneOffIcon />}
        <span className="tile__text">{label}</span>
      </span>
    </li>
  );
}, looksTheSame);

function looksTheSame(before: { person: Person }, after: { person: Person }): boolean {
  const keys = ['identity', 'name', 'local', 'speaking', 'microphone', 'camera', 'paused', 'lost'] as const;
  return keys.every((key) => before.person[key] === after.person[key]);
}
