import { t } from '../i18n';
import { Layout, Title } from './Layout';

export function MissingPage() {
  return (
    <Layout title={t('missing.title')}>
      <Title>{t('missing.title')}</Title>
      <p>{t('missing.text')}</p>
      <p>
        <a href="/">{t('missing.home')}</a>
      </p>
    </Layout>
  );
}
