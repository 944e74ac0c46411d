/** A bar that moves with the voice, and a sentence that says the same. */
import { useEffect, useRef, useState } from 'react';
import { listenTo } from '../devices/level';
import { t } from '../i18n';

/** Above this the microphone has heard something other than the room. */
const HEARD = 0.25;

export function LevelMeter({ track }: { track: MediaStreamTrack | undefined }) {
  const bar = useRef<HTMLSpanElement>(null);
  const [heard, setHeard] = useState(false);
  useEffect(() => {
    if (track === undefined) return undefined;
    const source = listenTo(track);
    let frame = 0;
    const draw = () => {
      const level = source.read();
      bar.current?.style.setProperty('--level', level.toFixed(3));
      if (level > HEARD) setHeard(true);
      frame = requestAnimationFrame(draw);
    };
    frame = requestAnimationFrame(draw);
    return () => {
      cancelAnimationFrame(frame);
      source.close();
      setHeard(false);
    };
  }, [track]);
  const said = track === undefined ? t('prejoin.level.off') : heard ? t('prejoin.level.heard') : t('prejoin.level.quiet');
  return (
    <div className="level">
      <span className="level__track" role="img" aria-label={t('prejoin.level')}>
        <span className={track === undefined ? 'level__bar level__bar--off' : 'level__bar'} ref={bar} />
      </span>
      <span className="level__text" role="status">
        {said}
      </span>
    </div>
  );
}
