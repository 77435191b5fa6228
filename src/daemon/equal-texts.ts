// Long texts that many sessions have in common (certificates of the same peer, lists of ciphers), each kept once. Bounded:
// a text that was forgotten is only kept a second time.

/** Texts remembered. */
const MAX_TEXTS = 4_096;

const texts = new Map<string, string>();

/** The text that was seen first of all equal ones. */
export function sameText(text: string): string {
  const known = texts.get(text);
  if (known !== undefined) return known;
  const [oldest] = texts.keys();
  if (texts.size >= MAX_TEXTS && oldest !== undefined) texts.delete(oldest);
  texts.set(text, text);
  return text;
}
