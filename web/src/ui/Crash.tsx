/** The last net: a fault in the page shows a way back instead of an empty window. */
import { Component, type ReactNode } from 'react';
import { t } from '../i18n';
import { Layout, Title } from './Layout';

export class Crash extends Component<{ children: ReactNode }, { crashed: boolean }> {
  override state = { crashed: false };

  static getDerivedStateFromError() {
    return { crashed: true };
  }

  override render() {
    if (!this.state.crashed) return this.props.children;
    return (
      <Layout title={t('crash.title')}>
        <Title>{t('crash.title')}</Title>
        <p>{t('crash.text')}</p>
        <button type="button" className="nhsuk-button" onClick={() => location.reload()}>
          {t('crash.reload')}
        </button>
      </Layout>
    );
  }
}
