/** Choosing one camera, microphone or speaker. */
import type { Choice, ChoiceKind } from '../devices/media';
import { t } from '../i18n';

interface Props {
  kind: ChoiceKind;
  prefix: string;
  choices: Choice[];
  chosen: string | undefined;
  onChoose: (kind: ChoiceKind, id: string) => void;
}

export function DeviceSelect({ kind, prefix, choices, chosen, onChoose }: Props) {
  const id = `${prefix}-${kind}`;
  const label = t(`device.${kind}`);
  return (
    <div className="nhsuk-form-group device-select">
      <label className="nhsuk-label" htmlFor={id}>
        {label}
      </label>
      <select className="nhsuk-select" id={id} value={chosen ?? ''} disabled={choices.length === 0} onChange={(event) => onChoose(kind, event.target.value)}>
        <option value="">{choices.length === 0 ? t('device.none') : t('device.default')}</option>
        {choices.map((choice, index) => (
          <option key={choice.id} value={choice.id}>
            {choice.label === '' ? t('device.unnamed', { kind: label, number: index + 1 }) : choice.label}
          </option>
        ))}
      </select>
    </div>
  );
}
