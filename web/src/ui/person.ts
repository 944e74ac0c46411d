/** How a person is named and shown without a camera. */
import { t } from '../i18n';
import type { Person } from '../meeting/state';

const TITLES = new Set(['dr', 'mr', 'mrs', 'ms', 'miss', 'mx', 'prof', 'professor', 'sir', 'dame']);

/** Two letters at most: first and last name, without the title or what follows a comma or bracket. */
export function initialsOf(name: string): string {
  const words = (name.split(/[,(/–]/)[0] ?? '')
    .split(/[\s-]+/)
    .filter((word) => /[\p{L}\p{N}]/u.test(word));
  const names = words.filter((word, index) => index > 0 || words.length === 1 || !TITLES.has(word.replace(/\.$/, '').toLowerCase()));
  const first = letterOf(names[0]);
  const last = names.length > 1 ? letterOf(names.at(-1)) : '';
  return first === '' ? '?' : first + last;
}

/** One of the tones of the style sheet, the same for the same person on every page. */
export const TONES = 6;
export function toneOf(identity: string): number {
  let sum = 0;
  for (const letter of identity) sum = (sum * 31 + (letter.codePointAt(0) ?? 0)) % 9973;
  return sum % TONES;
}

export function labelOf(person: Person): string {
  return person.local ? t('tile.you', { name: person.name }) : person.name;
}

function letterOf(word: string | undefined): string {
  return /[\p{L}\p{N}]/u.exec(word ?? '')?.[0]?.toLocaleUpperCase() ?? '';
}
