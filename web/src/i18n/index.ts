/** Looks strings up and fills their placeholders. Which language is used is decided here and nowhere else. */
import { en } from './en';

export type Key = keyof typeof en;

type Placeholders<S extends string> = S extends `${string}{${infer P}}${infer Rest}` ? P | Placeholders<Rest> : never;
type Values<K extends Key> = Record<Placeholders<(typeof en)[K]>, string | number>;
type Arguments<K extends Key> = [Placeholders<(typeof en)[K]>] extends [never] ? [] : [Values<K>];

const table: Record<Key, string> = en;

/** The text of `key`; the compiler asks for exactly the placeholders that the English text has. */
export function t<K extends Key>(key: K, ...values: Arguments<K>): string {
  const given = values[0] as Record<string, string | number> | undefined;
  return table[key].replace(/\{(\w+)\}/g, (whole, name: string) => String(given?.[name] ?? whole));
}
