/** Devices and shortcuts during a meeting. */
import { useEffect, useRef } from 'react';
import type { ChoiceKind, Media } from '../devices/media';
import { t } from '../i18n';
import { DeviceSelect } from './DeviceSelect';
import { CloseIcon } from './icons';
import { useStore } from './useStore';

interface Props {
  media: Media;
  shortcuts: boolean;
  onShortcuts: (enabled: boolean) => void;
  onChoose: (kind: ChoiceKind, id: string) => void;
  onClose: () => void;
}

export function SettingsDialog({ media, shortcuts, onShortcuts, onChoose, onClose }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const { choices, chosen } = useStore(media.store);
  useEffect(() => {
    dialog.current?.showModal();
    void media.refreshChoices();
  }, [media]);
  const kinds = (['camera', 'microphone', 'speaker'] as const).filter((kind) => kind !== 'speaker' || choices.speaker.length > 0);
  return (
    <dialog className="settings" ref={dialog} aria-labelledby="settings-title" onClose={onClose}>
      <div className="people__head">
        <h2 className="people__title" id="settings-title">
          {t('settings.title')}
        </h2>
        <button type="button" className="close" aria-label={t('settings.close')} onClick={() => dialog.current?.close()}>
          <CloseIcon />
        </button>
      </div>
      <div className="settings__body">
        {kinds.map((kind) => (
          <DeviceSelect key={kind} kind={kind} prefix="during" choices={choices[kind]} chosen={chosen[kind]} onChoose={onChoose} />
        ))}
        <div className="nhsuk-checkboxes nhsuk-checkboxes--small">
          <div className="nhsuk-checkboxes__item">
            <input
              className="nhsuk-checkboxes__input"
              id="shortcuts"
              type="checkbox"
              checked={shortcuts}
              aria-describedby="shortcuts-hint"
              onChange={(event) => onShortcuts(event.target.checked)}
            />
            <label className="nhsuk-label nhsuk-checkboxes__label" htmlFor="shortcuts">
              {t('settings.shortcuts')}
            </label>
            <div className="nhsuk-hint nhsuk-checkboxes__hint" id="shortcuts-hint">
              {t('settings.shortcuts.hint')}
            </div>
          </div>
        </div>
      </div>
    </dialog>
  );
}
