/** In the lobby: a host has been told, and decides; or the next case lets us in by itself. */
import { t } from '../i18n';
import type { Wait } from '../meeting/lobby';
import { Layout, Title } from './Layout';

interface Props {
  /** Of the meeting. The page is not called by it: a browser keeps the names of pages. */
  title: string | undefined;
  wait: Wait;
  onLeave: () => void;
}

export function WaitingPage({ title, wait, onLeave }: Props) {
  const heading = t(`lobby.${wait}.title`);
  return (
    <Layout title={heading}>
      <div role="status">
        <div className="connecting">
          <span className="connecting__ring" aria-hidden="true" />
          <Title>
            {title !== undefined && <span className="nhsuk-caption-l">{title}</span>}
            {heading}
          </Title>
        </div>
        <p className="nhsuk-lede-text">{t(`lobby.${wait}`)}</p>
      </div>
      <button type="button" className="nhsuk-button nhsuk-button--secondary" onClick={onLeave}>
        {t('lobby.leave')}
      </button>
    </Layout>
  );
}
