/** Shows one video track. The only place where a picture meets the document. */
import { useEffect, useRef } from 'react';
import type { MediaTrack } from '../meeting/state';

interface Props {
  track: MediaTrack;
  label: string;
  mirrored?: boolean;
  fit?: 'cover' | 'contain';
}

export function VideoView({ track, label, mirrored = false, fit = 'cover' }: Props) {
  const element = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    const video = element.current;
    if (video === null) return undefined;
    track.attach(video);
    return () => void track.detach(video);
  }, [track]);
  return <video ref={element} className={`video video--${fit}${mirrored ? ' video--mirrored' : ''}`} aria-label={label} autoPlay playsInline muted />;
}
