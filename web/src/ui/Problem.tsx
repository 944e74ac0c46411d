/** What is wrong with a device and what to do about it, in the person's own words. */
import type { ReactNode } from 'react';
import { t } from '../i18n';

interface Props {
  title: string;
  fix: string;
  children?: ReactNode;
}

export function Problem({ title, fix, children }: Props) {
  return (
    <div className="problem" role="alert">
      <p className="problem__title">{title}</p>
      <p className="problem__fix">{fix}</p>
      {children}
    </div>
  );
}

export function RetryButton({ onRetry }: { onRetry: () => void }) {
  return (
    <button type="button" className="nhsuk-button nhsuk-button--secondary nhsuk-button--small" onClick={onRetry}>
      {t('prejoin.retry')}
    </button>
  );
}
