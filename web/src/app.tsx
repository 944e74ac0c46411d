/** Chooses the page for the address and for the phase of the meeting. */
import { useCallback, useEffect, useRef, useState } from 'react';
import type { Media } from './devices/media';
import type { Invitation } from './meeting/invitation';
import type { Meeting } from './meeting/meeting';
import type { Options } from './options';
import { isScheduled, type Route } from './routes';
import { EndPage } from './ui/EndPage';
import { MeetingPage } from './ui/MeetingPage';
import { MissingPage } from './ui/MissingPage';
import { ConnectingPage } from './ui/ConnectingPage';
import { PreJoinPage } from './ui/PreJoinPage';
import { SignInProblemPage } from './ui/SignInProblemPage';
import { StartPage } from './ui/StartPage';
import { WaitingPage } from './ui/WaitingPage';
import { useStore } from './ui/useStore';

interface Parts {
  options: Options;
  invitation: Invitation | undefined;
  /** Whether others get in with the address as it is. */
  isShareable: boolean;
  media: Media;
  meeting: Meeting;
}

export function App({ route, ...parts }: Parts & { route: Route }) {
  switch (route.page) {
    case 'start':
      return <StartPage />;
    case 'room':
      // An invitation names its own room; the address may have been shortened or retyped.
      return <RoomPages room={parts.invitation?.room ?? route.room} {...parts} />;
    case 'sign-in':
      return <SignInProblemPage problem={parts.options.signInProblem} />;
    case 'missing':
      return <MissingPage />;
  }
}

/** A name is kept for this tab only: ward computers are shared. */
const NAME_KEY = 'consilium.name';

function RoomPages({ room, options, invitation, isShareable, media, meeting }: Parts & { room: string }) {
  const { phase, title, wait, failure, words } = useStore(meeting.store);
  const fixedName = invitation?.name;
  // The server knows the name that belongs to a link.
  const isInvited = invitation?.link !== undefined;
  const [name, setName] = useState(fixedName ?? options.name ?? sessionStorage.getItem(NAME_KEY) ?? '');

  const join = useCallback(
    (as: string) => {
      setName(as);
      if (fixedName === undefined && !isInvited) sessionStorage.setItem(NAME_KEY, as);
      void media.start();
      void meeting.join({ room, name: as, token: invitation?.token, link: invitation?.link });
    },
    [media, meeting, room, invitation, fixedName, isInvited],
  );

  const automatic = options.autojoin && (name !== '' || isInvited);
  const begun = useRef(false);
  useEffect(() => {
    if (begun.current || !automatic) return;
    begun.current = true;
    join(name);
  }, [automatic, join, name]);

  const naming = isInvited ? 'by-link' : fixedName === undefined ? 'asked' : 'fixed';
  switch (phase) {
    case 'idle':
      // Without a whole link of one's own there is nothing to get ready for.
      if (isScheduled(room) && !isInvited && fixedName === undefined) {
        return <EndPage failure={invitation === undefined ? 'token-missing' : 'token-invalid'} />;
      }
      if (automatic) return <ConnectingPage />;
      return <PreJoinPage room={room} name={name} naming={naming} media={media} onJoin={join} />;
    case 'connecting':
      return <ConnectingPage />;
    case 'waiting':
      return <WaitingPage title={title} wait={wait ?? 'host'} onLeave={() => void meeting.leave()} />;
    case 'joined':
      return <MeetingPage room={room} isShareable={isShareable} meeting={meeting} media={media} />;
    case 'ended':
      return <EndPage failure={failure ?? 'unexpected'} words={words} onRejoin={() => join(name)} />;
  }
}
