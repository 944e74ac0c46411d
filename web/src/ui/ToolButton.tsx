/** A round button with an icon, a name, a pressed state and a tooltip that keyboard users see too. */
import { type ReactNode, useId } from 'react';
import { t } from '../i18n';

interface Props {
  /** What it is: stays the same, so that "pressed" means something to a screen reader. */
  label: string;
  /** Shown under the icon where there is room. */
  caption?: string;
  /** What a click does now. */
  hint: string;
  pressed?: boolean;
  shortcut?: string | undefined;
  look: 'plain' | 'off' | 'active' | 'danger';
  disabled?: boolean;
  onClick: () => void;
  children: ReactNode;
  id?: string;
}

export function ToolButton({ label, caption, hint, pressed, shortcut, look, disabled = false, onClick, children, id }: Props) {
  const tip = useId();
  return (
    <span className="slot">
      <button
        type="button"
        id={id}
        className={`tool tool--${look}`}
        aria-label={label}
        aria-describedby={tip}
        aria-pressed={pressed}
        aria-keyshortcuts={shortcut}
        aria-disabled={disabled || undefined}
        onClick={() => {
          if (!disabled) onClick();
        }}
      >
        {children}
        {caption !== undefined && (
          <span className="tool__caption" aria-hidden="true">
            {caption}
          </span>
        )}
      </button>
      <span className="tip" role="tooltip" id={tip}>
        {hint}
        {shortcut !== undefined && <kbd>{t('toolbar.key', { key: shortcut })}</kbd>}
      </span>
    </span>
  );
}
