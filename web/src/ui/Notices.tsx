/** What needs attention during a meeting, above the pictures: the connection, the sound, a device. */
import { t } from '../i18n';
import type { MeetingState, Notice } from '../meeting/state';
import { CloseIcon, SoundIcon } from './icons';

interface Props {
  state: MeetingState;
  onHear: () => void;
  onDismiss: () => void;
}

export function Notices({ state, onHear, onDismiss }: Props) {
  const unreadable = state.people.filter((person) => state.unreadable.includes(person.identity)).map((person) => person.name);
  return (
    <div className="notices">
      {state.link === 'reconnecting' && (
        <p className="notice notice--warning" role="alert">
          <span className="notice__text">
            <span className="connecting__ring connecting__ring--small" aria-hidden="true" />
            {t('meeting.reconnecting')}
          </span>
        </p>
      )}
      {unreadable.length > 0 && (
        <p className="notice notice--error" role="alert" data-unreadable>
          <span>{t('meeting.unreadable', { names: unreadable.join(', ') })}</span>
        </p>
      )}
      {state.soundBlocked && (
        <div className="notice notice--warning" role="alert">
          <span>{t('meeting.quiet')}</span>
          <button type="button" className="nhsuk-button nhsuk-button--small notice__button" onClick={onHear}>
            <SoundIcon />
            {t('meeting.hear')}
          </button>
        </div>
      )}
      {state.notice !== undefined && (
        <div className="notice notice--error" role="alert">
          <NoticeText notice={state.notice} />
          <button type="button" className="close" aria-label={t('problem.dismiss')} onClick={onDismiss}>
            <CloseIcon />
          </button>
        </div>
      )}
    </div>
  );
}

function NoticeText({ notice }: { notice: Notice }) {
  const [title, fix] = textOf(notice);
  return (
    <span>
      <strong>{title}.</strong> {fix}
    </span>
  );
}

function textOf(notice: Notice): [string, string] {
  if (notice === 'permission') return [t('problem.permission'), t('problem.permission.fix')];
  if (notice.device === 'screen') return [t(`problem.screen.${notice.problem}`), t(`problem.screen.${notice.problem}.fix`)];
  return [t(`problem.${notice.device}.${notice.problem}`), t(`problem.${notice.device}.${notice.problem}.fix`)];
}
