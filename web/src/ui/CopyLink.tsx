/** Puts the room's address on the clipboard, where that is all that others need: an invitation is nobody else's. */
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
    <>
      <button type="button" className="copy" onClick={copy}>
        <LinkIcon />
        {t('meeting.copy')}
      </button>
      {/* Beside the button: what changes in it is not announced, and a name that changes is not found again. */}
      <span role="status">{copied ? t('meeting.copied') : ''}</span>
    </>
  );
}
