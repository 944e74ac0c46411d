/** Before the meeting: who you are, how you look and sound, and what to do if something is wrong. */
import { type SyntheticEvent, useEffect, useState } from 'react';
import type { ChoiceKind, DeviceKind, Media, MediaState } from '../devices/media';
import { t } from '../i18n';
import { NAME_LENGTH_MAX } from '../options';
import { isScheduled } from '../routes';
import { DeviceSelect } from './DeviceSelect';
import { ErrorSummary } from './ErrorSummary';
import { CameraIcon, CameraOffIcon, MicrophoneIcon, MicrophoneOffIcon } from './icons';
import { Layout, Title } from './Layout';
import { LevelMeter } from './LevelMeter';
import { Problem, RetryButton } from './Problem';
import { TextField } from './TextField';
import { ToolButton } from './ToolButton';
import { useStore } from './useStore';
import { VideoView } from './VideoView';

interface Props {
  room: string;
  name: string;
  /** Whether a name is asked for, stands in the invitation, or is known to the server alone. */
  naming: 'asked' | 'fixed' | 'by-link';
  media: Media;
  onJoin: (name: string) => void;
}

export function PreJoinPage({ room, name: initialName, naming, media, onJoin }: Props) {
  const [name, setName] = useState(initialName);
  const [missing, setMissing] = useState(0);
  const state = useStore(media.store);
  useEffect(() => void media.start(), [media]);

  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    const trimmed = name.trim();
    if (trimmed === '' && naming !== 'by-link') setMissing(missing + 1);
    else onJoin(trimmed);
  };
  const wrong = missing > 0 && name.trim() === '';
  return (
    <Layout title={t('prejoin.title')} wide>
      {wrong && <ErrorSummary key={missing} text={t('prejoin.name.error')} target="name" />}
      <Title>
        {/* The room of a scheduled meeting is named for programs. */}
        {!isScheduled(room) && <span className="nhsuk-caption-l">{t('prejoin.room', { room })}</span>}
        {t('prejoin.title')}
      </Title>
      <div className="prejoin">
        <section className="prejoin__self">
          <Preview state={state} media={media} />
          <Problems state={state} onRetry={() => void media.start()} />
        </section>
        <form className="prejoin__form" onSubmit={submit} noValidate>
          {naming === 'by-link' ? (
            <p className="prejoin__named">{t('prejoin.name.by-link')}</p>
          ) : (
            <TextField
              id="name"
              label={t('prejoin.name')}
              hint={t(naming === 'fixed' ? 'prejoin.name.fixed' : 'prejoin.name.hint')}
              value={name}
              onChange={setName}
              error={wrong ? t('prejoin.name.error') : undefined}
              autoComplete="name"
              lengthMax={NAME_LENGTH_MAX}
              readOnly={naming === 'fixed'}
            />
          )}
          <Devices state={state} media={media} />
          <button type="submit" className="nhsuk-button prejoin__join">
            {t('prejoin.join')}
          </button>
          <p className="nhsuk-hint prejoin__private">{t('prejoin.private')}</p>
        </form>
      </div>
    </Layout>
  );
}

function Preview({ state, media }: { state: MediaState; media: Media }) {
  const { camera, microphone, starting } = state;
  const waiting = starting && camera.wanted && camera.track === undefined;
  // A device that was wanted and did not start is off; the next click tries again.
  const on = (kind: DeviceKind) => state[kind].wanted && state[kind].problem === undefined;
  return (
    <>
      <div className="preview">
        {camera.track ? (
          <VideoView track={camera.track} label={t('prejoin.preview')} mirrored />
        ) : (
          <p className="preview__text">{t(waiting ? 'prejoin.camera.starting' : 'prejoin.camera.off')}</p>
        )}
        <div className="preview__tools">
          <ToolButton
            label={t('toolbar.microphone')}
            hint={t(on('microphone') ? 'toolbar.microphone.on' : 'toolbar.microphone.off')}
            pressed={on('microphone')}
            look={on('microphone') ? 'plain' : 'off'}
            onClick={() => void media.setWanted('microphone', !on('microphone'))}
          >
            {on('microphone') ? <MicrophoneIcon /> : <MicrophoneOffIcon />}
          </ToolButton>
          <ToolButton
            label={t('toolbar.camera')}
            hint={t(on('camera') ? 'toolbar.camera.on' : 'toolbar.camera.off')}
            pressed={on('camera')}
            look={on('camera') ? 'plain' : 'off'}
            onClick={() => void media.setWanted('camera', !on('camera'))}
          >
            {on('camera') ? <CameraIcon /> : <CameraOffIcon />}
          </ToolButton>
        </div>
      </div>
      {waiting && <p className="nhsuk-hint">{t('prejoin.waiting')}</p>}
      <LevelMeter track={microphone.wanted ? microphone.track?.mediaStreamTrack : undefined} />
    </>
  );
}

function Problems({ state, onRetry }: { state: MediaState; onRetry: () => void }) {
  const kinds: DeviceKind[] = ['microphone', 'camera'];
  return kinds.map((kind) => {
    const problem = state[kind].problem;
    if (problem === undefined) return null;
    const what = t(kind === 'microphone' ? 'prejoin.still.hear' : 'prejoin.still.see');
    return (
      <Problem key={kind} title={t(`problem.${kind}.${problem}`)} fix={t(`problem.${kind}.${problem}.fix`)}>
        <p className="problem__fix">{t('prejoin.still', { what })}</p>
        <RetryButton onRetry={onRetry} />
      </Problem>
    );
  });
}

function Devices({ state, media }: { state: MediaState; media: Media }) {
  const kinds: ChoiceKind[] = ['camera', 'microphone', 'speaker'];
  return kinds
    .filter((kind) => kind !== 'speaker' || state.choices.speaker.length > 0)
    .map((kind) => (
      <DeviceSelect
        key={kind}
        kind={kind}
        prefix="before"
        choices={state.choices[kind]}
        chosen={state.chosen[kind]}
        onChoose={(which, id) => void media.choose(which, id)}
      />
    ));
}
