/** One labelled text input in the NHS pattern, with hint and error tied to it. */
interface Props {
  id: string;
  label: string;
  hint: string;
  value: string;
  onChange: (value: string) => void;
  error?: string | undefined;
  autoComplete: string;
  lengthMax: number;
  readOnly?: boolean;
}

export function TextField({ id, label, hint, value, onChange, error, autoComplete, lengthMax, readOnly = false }: Props) {
  const described = error === undefined ? `${id}-hint` : `${id}-hint ${id}-error`;
  return (
    <div className={error === undefined ? 'nhsuk-form-group' : 'nhsuk-form-group nhsuk-form-group--error'}>
      <label className="nhsuk-label nhsuk-label--s" htmlFor={id}>
        {label}
      </label>
      <div className="nhsuk-hint" id={`${id}-hint`}>
        {hint}
      </div>
      {error !== undefined && (
        <span className="nhsuk-error-message" id={`${id}-error`}>
          {error}
        </span>
      )}
      <input
        className={error === undefined ? 'nhsuk-input' : 'nhsuk-input nhsuk-input--error'}
        id={id}
        type="text"
        value={value}
        maxLength={lengthMax}
        readOnly={readOnly}
        aria-describedby={described}
        aria-invalid={error !== undefined}
        autoComplete={autoComplete}
        spellCheck={false}
        onChange={(event) => onChange(event.target.value)}
      />
    </div>
  );
}
