/** Puts the room's address on the clipboard. The address never holds an invitation: it is taken out on arrival. */
import { useState } from 'react';
import { t } from '../i18n';
import { LinkIcon } from './icons';

export function CopyLink() {
  const [copied, setCopied] = useState(false);
  const copy = () => {
    navigator.clipboard.writeText(location.origin + location.pathname).then(
      () => setCopied(true),
      () => undefined,
    );
  };
  return (
    <button type="button" className="copy" onClick={copy}>
      <LinkIcon />
      <span role="status">{t(copied ? 'meeting.copied' : 'meeting.copy')}</span>
    </button>
  );
}
