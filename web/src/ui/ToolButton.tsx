/** A round button with an icon, a name, a pressed state and a tooltip that keyboard users see too. */
import type { ReactNode } from 'react';
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
  return (
    <button
      type="button"
      id={id}
      className={`tool tool--${look}`}
      aria-label={label}
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
      <span className="tool__tip" aria-hidden="true">
        {hint}
        {shortcut !== undefined && <kbd>{t('toolbar.key', { key: shortcut })}</kbd>}
      </span>
    </button>
  );
}
