/** Everybody in the meeting, by name. */
import { useEffect, useRef } from 'react';
import { t } from '../i18n';
import type { Person } from '../meeting/state';
import { CameraIcon, CameraOffIcon, CloseIcon, MicrophoneIcon, MicrophoneOffIcon, ShareIcon } from './icons';
import { initialsOf, labelOf, toneOf } from './person';

export function PeoplePanel({ people, onClose }: { people: Person[]; onClose: () => void }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), []);
  const ours = people.filter((person) => person.local);
  const others = people.filter((person) => !person.local);
  return (
    <aside
      className="people"
      aria-labelledby="people-title"
      onKeyDown={(event) => {
        if (event.key === 'Escape') onClose();
      }}
    >
      <div className="people__head">
        <h2 className="people__title" id="people-title" ref={heading} tabIndex={-1}>
          {t('people.title', { count: people.length })}
        </h2>
        <button type="button" className="close" aria-label={t('people.close')} onClick={onClose}>
          <CloseIcon />
        </button>
      </div>
      <ul className="people__list">
        {[...ours, ...others].map((person) => (
          <PersonRow key={person.identity} person={person} />
        ))}
      </ul>
    </aside>
  );
}

function PersonRow({ person }: { person: Person }) {
  const microphone = t(`people.mic.${person.microphone}`);
  const camera = t(person.camera === undefined ? 'people.camera.off' : 'people.camera.on');
  return (
    <li className={`person${person.speaking ? ' person--speaking' : ''}`} data-person={person.identity}>
      <span className={`person__badge tile__initials--${toneOf(person.identity)}`} aria-hidden="true">
        {initialsOf(person.name)}
      </span>
      <span className="person__name">{labelOf(person)}</span>
      {person.sharing && (
        <span className="person__icon" role="img" aria-label={t('people.sharing')}>
          <ShareIcon />
        </span>
      )}
      <span className="person__icon" role="img" aria-label={camera}>
        {person.camera === undefined ? <CameraOffIcon /> : <CameraIcon />}
      </span>
      <span className="person__icon" role="img" aria-label={microphone}>
        {person.microphone === 'on' ? <MicrophoneIcon /> : <MicrophoneOffIcon />}
      </span>
    </li>
  );
}
