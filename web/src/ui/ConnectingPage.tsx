import { t } from '../i18n';
import { Layout, Title } from './Layout';

export function ConnectingPage() {
  return (
    <Layout title={t('meeting.connecting')}>
      <div className="connecting" role="status">
        <span className="connecting__ring" aria-hidden="true" />
        <Title>{t('meeting.connecting')}</Title>
      </div>
    </Layout>
  );
}
