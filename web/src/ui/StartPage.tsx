/** The front door: a room code or a pasted link. */
import { type SyntheticEvent, useState } from 'react';
import { t } from '../i18n';
import { destinationOf } from '../routes';
import { ErrorSummary } from './ErrorSummary';
import { Layout, Title } from './Layout';
import { TextField } from './TextField';

/** A pasted link carries an invitation of one to three kilobytes. */
const LINK_LENGTH_MAX = 8_192;

export function StartPage() {
  const [code, setCode] = useState('');
  const [wrong, setWrong] = useState(0);
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    const destination = destinationOf(code);
    if (destination === undefined) setWrong(wrong + 1);
    else location.assign(destination);
  };
  return (
    <Layout title={t('start.title')}>
      {wrong > 0 && <ErrorSummary key={wrong} text={t('start.error')} target="code" />}
      <Title>{t('start.title')}</Title>
      <p className="nhsuk-lede-text">{t('start.lead')}</p>
      <form onSubmit={submit} noValidate>
        <TextField
          id="code"
          label={t('start.code')}
          hint={t('start.code.hint')}
          value={code}
          onChange={setCode}
          error={wrong > 0 ? t('start.error') : undefined}
          autoComplete="off"
          lengthMax={LINK_LENGTH_MAX}
        />
        <button type="submit" className="nhsuk-button">
          {t('start.continue')}
        </button>
      </form>
      <h2 className="nhsuk-heading-m">{t('start.what.title')}</h2>
      <ul className="nhsuk-list nhsuk-list--bullet">
        <li>{t('start.what.camera')}</li>
        <li>{t('start.what.check')}</li>
        <li>{t('start.what.without')}</li>
      </ul>
    </Layout>
  );
}
