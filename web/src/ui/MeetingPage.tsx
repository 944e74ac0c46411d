/** The meeting itself: notices, pictures, participants, toolbar. */
import { useEffect, useRef, useState } from 'react';
import type { Media } from '../devices/media';
import { t } from '../i18n';
import type { Meeting } from '../meeting/meeting';
import { isScheduled } from '../routes';
import { Announcer } from './Announcer';
import { CopyLink } from './CopyLink';
import { Notices } from './Notices';
import { PeoplePanel } from './PeoplePanel';
import { SettingsDialog } from './SettingsDialog';
import { type ShortcutName, useShortcuts } from './shortcuts';
import { Sound } from './Sound';
import { Stage } from './Stage';
import { Toolbar } from './Toolbar';
import { useShortcutsEnabled } from './useShortcutsEnabled';
import { useStore } from './useStore';

interface Props {
  room: string;
  isShareable: boolean;
  meeting: Meeting;
  media: Media;
}

export function MeetingPage({ room, isShareable, meeting, media }: Props) {
  const state = useStore(meeting.store);
  const [peopleShown, setPeopleShown] = useState(false);
  const [settingsShown, setSettingsShown] = useState(false);
  const [shortcuts, setShortcuts] = useShortcutsEnabled();
  // Browsers keep what pages are called, and show it to whoever chooses a window to share: a title stays on the page.
  const page = isScheduled(room) ? t('meeting.untitled') : t('meeting.title', { room });
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = t('app.title', { page });
    heading.current?.focus();
  }, [page]);

  const me = state.people.find((person) => person.local);
  const showPeople = (shown: boolean) => {
    setPeopleShown(shown);
    if (!shown) document.getElementById('people-button')?.focus();
  };
  const actions: Record<ShortcutName, () => void> = {
    microphone: () => void (state.may.microphone && meeting.setMicrophone(me?.microphone !== 'on')),
    camera: () => void (state.may.camera && meeting.setCamera(me?.camera === undefined)),
    share: () => void (state.may.screen && meeting.setScreen(me?.sharing !== true)),
    people: () => showPeople(!peopleShown),
  };
  useShortcuts(shortcuts, actions);

  return (
    <div className="meeting">
      <header className="meeting__head">
        <h1 className="meeting__title" ref={heading} tabIndex={-1}>
          {state.title ?? page}
        </h1>
      </header>
      <Notices state={state} onHear={() => void meeting.hear()} onDismiss={() => meeting.dismissNotice()} />
      <main className="meeting__main" id="main">
        <div className="meeting__stage">
          {state.people.length === 1 && (
            <p className="alone">
              {t(isShareable ? 'meeting.alone' : 'meeting.alone.invited')} {isShareable && <CopyLink />}
            </p>
          )}
          <Stage people={state.people} />
        </div>
        {peopleShown && <PeoplePanel people={state.people} onClose={() => showPeople(false)} />}
      </main>
      {me && (
        <Toolbar
          me={me}
          may={state.may}
          peopleShown={peopleShown}
          shortcuts={shortcuts}
          actions={actions}
          onSettings={() => setSettingsShown(true)}
          onLeave={() => void meeting.leave()}
        />
      )}
      {settingsShown && (
        <SettingsDialog
          media={media}
          shortcuts={shortcuts}
          onShortcuts={setShortcuts}
          onChoose={(kind, id) => void meeting.chooseDevice(kind, id)}
          onClose={() => setSettingsShown(false)}
        />
      )}
      <Announcer announcements={state.announcements} />
      <Sound people={state.people} />
    </div>
  );
}
