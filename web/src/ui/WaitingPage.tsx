/** In the lobby: a host has been told, and decides. */
import { t } from '../i18n';
import { Layout, Title } from './Layout';

export function WaitingPage({ onLeave }: { onLeave: () => void }) {
  return (
    <Layout title={t('lobby.title')}>
      <div role="status">
        <div className="connecting">
          <span className="connecting__ring" aria-hidden="true" />
          <Title>{t('lobby.title')}</Title>
        </div>
        <p className="nhsuk-lede-text">{t('lobby.text')}</p>
      </div>
      <button type="button" className="nhsuk-button nhsuk-button--secondary" onClick={onLeave}>
        {t('lobby.leave')}
      </button>
    </Layout>
  );
}
