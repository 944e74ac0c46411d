/** Single-key shortcuts. They keep quiet while somebody types, and can be turned off (WCAG 2.2, 2.1.4). */
import { useEffect, useRef } from 'react';

export type ShortcutName = 'microphone' | 'camera' | 'share' | 'people';

export const SHORTCUTS: Record<ShortcutName, string> = { microphone: 'm', camera: 'v', share: 's', people: 'p' };

/** The parts of a key press that decide; a plain value, so that every case can be tested. */
export interface Press {
  key: string;
  ctrlKey: boolean;
  altKey: boolean;
  metaKey: boolean;
  repeat: boolean;
  typing: boolean;
}

export function shortcutOf(press: Press): ShortcutName | undefined {
  if (press.typing || press.repeat || press.ctrlKey || press.altKey || press.metaKey) return undefined;
  const names = Object.keys(SHORTCUTS) as ShortcutName[];
  return names.find((name) => SHORTCUTS[name] === press.key.toLowerCase());
}

export function useShortcuts(enabled: boolean, actions: Record<ShortcutName, () => void>): void {
  const latest = useRef(actions);
  useEffect(() => {
    latest.current = actions;
  });
  useEffect(() => {
    if (!enabled) return undefined;
    const onKey = (event: KeyboardEvent) => {
      const { key, ctrlKey, altKey, metaKey, repeat } = event;
      const name = shortcutOf({ key, ctrlKey, altKey, metaKey, repeat, typing: isTyping(event.target) });
      if (name !== undefined) latest.current[name]();
    };
    document.addEventListener('keydown', onKey);
    return () => document.removeEventListener('keydown', onKey);
  }, [enabled]);
}

/** Letters belong to text fields, and to lists and dialogs, which jump to the entry with that letter. */
function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || target.closest('input:not([type="checkbox"]), textarea, select, dialog') !== null;
}
