/** Whether single-key shortcuts are on: a personal choice that this browser remembers. */
import { useState } from 'react';

const KEY = 'consilium.shortcuts';

export function useShortcutsEnabled(): [boolean, (enabled: boolean) => void] {
  const [enabled, setEnabled] = useState(() => localStorage.getItem(KEY) !== 'off');
  const remember = (next: boolean) => {
    localStorage.setItem(KEY, next ? 'on' : 'off');
    setEnabled(next);
  };
  return [enabled, remember];
}
