/** The frame of every page outside a meeting: header, main column, and focus on the heading of a new page. */
import { type ReactNode, useEffect, useRef } from 'react';
import { t } from '../i18n';

export function Layout({ title, wide = false, children }: { title: string; wide?: boolean; children: ReactNode }) {
  const main = useRef<HTMLElement>(null);
  useEffect(() => {
    document.title = t('app.title', { page: title });
    // A new page without a page load: the heading takes the focus, so that screen readers start there.
    main.current?.querySelector<HTMLElement>('h1')?.focus();
  }, [title]);
  return (
    <div className="page">
      <a className="nhsuk-skip-link" href="#main">
        {t('app.skip')}
      </a>
      <header className="banner" role="banner">
        <div className="nhsuk-width-container banner__row">
          <a className="banner__name" href="/">
            {t('app.name')}
          </a>
          <span className="banner__purpose">{t('app.purpose')}</span>
        </div>
      </header>
      <div className={wide ? 'page__column page__column--wide' : 'page__column'}>
        <main className="nhsuk-main-wrapper" id="main" ref={main}>
          {children}
        </main>
      </div>
    </div>
  );
}

export function Title({ children }: { children: ReactNode }) {
  return (
    <h1 className="nhsuk-heading-l" tabIndex={-1}>
      {children}
    </h1>
  );
}
