/** Tells screen readers what eyes would notice: who came, who left, what is on. */
import { t } from '../i18n';
import type { Announcement, Said } from '../meeting/state';

export function Announcer({ announcements }: { announcements: Announcement[] }) {
  return (
    <div className="nhsuk-u-visually-hidden" role="log" aria-live="polite" aria-relevant="additions">
      {announcements.map(({ id, said }) => (
        <p key={id}>{sentence(said)}</p>
      ))}
    </div>
  );
}

function sentence(said: Said): string {
  return 'name' in said ? t(`say.${said.what}`, { name: said.name }) : t(`say.${said.what}`);
}
