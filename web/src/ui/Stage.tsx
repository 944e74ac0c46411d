/** The pictures: a grid of people, or shared screens with the people beside them. */
import { type CSSProperties, useLayoutEffect, useRef, useState } from 'react';
import { t } from '../i18n';
import type { Person } from '../meeting/state';
import { bestGrid, type Space } from './grid';
import { Tile } from './Tile';
import { VideoView } from './VideoView';

const GAP = 8;

export function Stage({ people }: { people: Person[] }) {
  const sharers = people.filter((person) => person.screen !== undefined);
  return (
    <div className={sharers.length > 0 ? 'stage stage--sharing' : 'stage'}>
      {sharers.length > 0 && (
        <ul className="screens" aria-label={t('meeting.shares')}>
          {sharers.map((person) => (
            <Screen key={person.identity} person={person} />
          ))}
        </ul>
      )}
      {sharers.length > 0 ? (
        <ul className="strip" tabIndex={0} aria-label={t('meeting.stage')}>
          {people.map((person) => (
            <Tile key={person.identity} person={person} />
          ))}
        </ul>
      ) : (
        <People people={people} />
      )}
    </div>
  );
}

function People({ people }: { people: Person[] }) {
  const box = useRef<HTMLDivElement>(null);
  const space = useSpace(box);
  const grid = bestGrid(people.length, space, GAP);
  // What scrolls must be reachable by keyboard.
  const scrolls = grid.rows * (grid.height + GAP) - GAP > space.height;
  const style = {
    '--grid-width': `${grid.columns * grid.width + (grid.columns - 1) * GAP}px`,
    '--tile-width': `${grid.width}px`,
    '--tile-height': `${grid.height}px`,
  } as CSSProperties;
  return (
    <div className="grid" ref={box} style={style} tabIndex={scrolls ? 0 : undefined}>
      <ul aria-label={t('meeting.stage')}>
        {people.map((person) => (
          <Tile key={person.identity} person={person} />
        ))}
      </ul>
    </div>
  );
}

function Screen({ person }: { person: Person }) {
  const label = person.local ? t('tile.screen.you') : t('tile.screen', { name: person.name });
  return (
    <li className="screen" data-screen-of={person.identity} aria-label={label}>
      {person.screen && <VideoView track={person.screen} label={label} fit="contain" />}
      <span className="tile__name" aria-hidden="true">
        <span className="tile__text">{label}</span>
      </span>
    </li>
  );
}

function useSpace(box: { current: HTMLElement | null }): Space {
  const [space, setSpace] = useState<Space>({ width: 0, height: 0 });
  useLayoutEffect(() => {
    const element = box.current;
    if (element === null) return undefined;
    const measure = () => setSpace({ width: element.clientWidth, height: element.clientHeight });
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, [box]);
  return space;
}
