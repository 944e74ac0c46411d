/** Plays the sound of everybody else, wherever their tiles are. */
import { memo, useEffect, useRef } from 'react';
import type { MediaTrack, Person } from '../meeting/state';

export function Sound({ people }: { people: Person[] }) {
  return (
    <div hidden>
      {people.flatMap((person) => person.sound.map((track) => <Voice key={`${person.identity} ${track.sid ?? ''}`} track={track} />))}
    </div>
  );
}

const Voice = memo(function Voice({ track }: { track: MediaTrack }) {
  const element = useRef<HTMLAudioElement>(null);
  useEffect(() => {
    const audio = element.current;
    if (audio === null) return undefined;
    track.attach(audio);
    return () => void track.detach(audio);
  }, [track]);
  return <audio ref={element} autoPlay />;
});
