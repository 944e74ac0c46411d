/** Where people come back to whom their identity provider, or this server, did not sign in: why, and what to do. */
import { t } from '../i18n';
import type { SignInProblem } from '../options';
import { Layout, Title } from './Layout';

export function SignInProblemPage({ problem }: { problem: SignInProblem }) {
  const title = t(`sign-in.${problem}.title`);
  return (
    <Layout title={title}>
      <Title>{title}</Title>
      <p className="nhsuk-lede-text">{t(`sign-in.${problem}`)}</p>
      <p>{t('sign-in.without')}</p>
      <p>
        <a href="/">{t('missing.home')}</a>
      </p>
    </Layout>
  );
}
