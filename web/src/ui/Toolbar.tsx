/** What you can do in a meeting, in one row. */
import { t } from '../i18n';
import type { MeetingState, Person } from '../meeting/state';
import { CameraIcon, CameraOffIcon, LeaveIcon, MicrophoneIcon, MicrophoneOffIcon, PeopleIcon, SettingsIcon, ShareIcon } from './icons';
import { SHORTCUTS, type ShortcutName } from './shortcuts';
import { ToolButton } from './ToolButton';

interface Props {
  me: Person;
  may: MeetingState['may'];
  peopleShown: boolean;
  shortcuts: boolean;
  actions: Record<ShortcutName, () => void>;
  onSettings: () => void;
  onLeave: () => void;
}

export function Toolbar({ me, may, peopleShown, shortcuts, actions, onSettings, onLeave }: Props) {
  const key = (name: ShortcutName) => (shortcuts ? SHORTCUTS[name].toUpperCase() : undefined);
  const microphone = me.microphone === 'on';
  const camera = me.camera !== undefined;
  const refused = t('problem.permission');
  return (
    <footer className="toolbar" aria-label={t('toolbar.label')}>
      <ToolButton
        label={t('toolbar.microphone')}
        caption={t('toolbar.microphone')}
        hint={may.microphone ? t(microphone ? 'toolbar.microphone.on' : 'toolbar.microphone.off') : refused}
        pressed={microphone}
        shortcut={key('microphone')}
        look={microphone ? 'plain' : 'off'}
        disabled={!may.microphone}
        onClick={actions.microphone}
      >
        {microphone ? <MicrophoneIcon /> : <MicrophoneOffIcon />}
      </ToolButton>
      <ToolButton
        label={t('toolbar.camera')}
        caption={t('toolbar.camera')}
        hint={may.camera ? t(camera ? 'toolbar.camera.on' : 'toolbar.camera.off') : refused}
        pressed={camera}
        shortcut={key('camera')}
        look={camera ? 'plain' : 'off'}
        disabled={!may.camera}
        onClick={actions.camera}
      >
        {camera ? <CameraIcon /> : <CameraOffIcon />}
      </ToolButton>
      <ToolButton
        label={t('toolbar.share')}
        caption={t('toolbar.share')}
        hint={may.screen ? t(me.sharing ? 'toolbar.share.on' : 'toolbar.share.off') : refused}
        pressed={me.sharing}
        shortcut={key('share')}
        look={me.sharing ? 'active' : 'plain'}
        disabled={!may.screen}
        onClick={actions.share}
      >
        <ShareIcon />
      </ToolButton>
      <ToolButton
        id="people-button"
        label={t('toolbar.people')}
        caption={t('toolbar.people')}
        hint={t(peopleShown ? 'toolbar.people.on' : 'toolbar.people.off')}
        pressed={peopleShown}
        shortcut={key('people')}
        look={peopleShown ? 'active' : 'plain'}
        onClick={actions.people}
      >
        <PeopleIcon />
      </ToolButton>
      <ToolButton id="settings-button" label={t('toolbar.settings')} caption={t('toolbar.settings')} hint={t('toolbar.settings')} look="plain" onClick={onSettings}>
        <SettingsIcon />
      </ToolButton>
      <ToolButton label={t('toolbar.leave')} caption={t('toolbar.leave')} hint={t('toolbar.leave.hint')} look="danger" onClick={onLeave}>
        <LeaveIcon />
      </ToolButton>
    </footer>
  );
}
