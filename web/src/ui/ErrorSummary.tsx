/** The NHS error summary: what is wrong, each with a link to its place on the page. */
import { useEffect, useRef } from 'react';
import { t } from '../i18n';

export function ErrorSummary({ text, target }: { text: string; target: string }) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    box.current?.focus();
  }, [text]);
  return (
    <div className="nhsuk-error-summary" ref={box} tabIndex={-1}>
      <div role="alert">
        <h2 className="nhsuk-error-summary__heading">{t('prejoin.summary')}</h2>
        <div className="nhsuk-error-summary__body">
          <ul className="nhsuk-list nhsuk-error-summary__list">
            <li>
              <a
                href={`#${target}`}
                onClick={(event) => {
                  event.preventDefault();
                  document.getElementById(target)?.focus();
                }}
              >
                {text}
              </a>
            </li>
          </ul>
        </div>
      </div>
    </div>
  );
}
