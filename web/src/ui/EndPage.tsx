/** The page after a meeting, or instead of one: why, and the one thing to do next. */
import { t } from '../i18n';
import type { Failure } from '../meeting/failure';
import { Layout, Title } from './Layout';

/** Trying again cannot help with these. */
const FINAL: ReadonlySet<Failure> = new Set(['token-expired', 'token-invalid', 'token-missing', 'room-invalid', 'unsupported', 'removed', 'cancelled']);
/** We were inside before: the way back is called rejoining. */
const AFTER: ReadonlySet<Failure> = new Set(['left', 'connection-lost', 'duplicate', 'server-stopped']);

interface Props {
  failure: Failure;
  words?: string | undefined;
  onRejoin?: () => void;
}

export function EndPage({ failure, words, onRejoin }: Props) {
  const title = t(`end.${failure}.title`);
  return (
    <Layout title={title}>
      <div data-failure={failure}>
        <Title>{title}</Title>
        <p className="nhsuk-lede-text">{t(`end.${failure}`)}</p>
        {words !== undefined && <p>{t('end.words', { words })}</p>}
        <div className="nhsuk-button-group">
          {onRejoin !== undefined && !FINAL.has(failure) && (
            <button type="button" className="nhsuk-button" onClick={onRejoin}>
              {t(AFTER.has(failure) ? 'end.rejoin' : 'end.retry')}
            </button>
          )}
          <a className="nhsuk-button nhsuk-button--secondary" href="/" role="button" draggable="false">
            {t('end.home')}
          </a>
        </div>
      </div>
    </Layout>
  );
}
