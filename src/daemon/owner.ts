// Whose a session is, as one text to look it up by. Pure but for what it remembers of keys that cannot change.
import { canonicalSessionKey, type SessionKey } from '../protocol/session-key.ts';
import type { ResolvedContext } from './contexts/contexts.ts';

/** What {@link ownerOf} answered last for a key that cannot change: one text for all sessions of it. */
const owners = new WeakMap<
  SessionKey,
  { uid: number; version: ResolvedContext['version'] | undefined; owner: string }
>();

/**
 * Session key and uid as one text: what must be equal before a session or a ticket may be used again. The version of a
 * context is in it, so that nothing made with one certificate serves where a reload has brought another.
 */
export function ownerOf(uid: number, key: SessionKey, context?: ResolvedContext): string {
  const known = owners.get(key);
  if (known?.uid === uid && known.version === context?.version) return known.owner;
  const owner = `${uid} ${canonicalSessionKey(key)}`;
  const full = context === undefined ? owner : `${owner} context ${context.version}`;
  if (Object.isFrozen(key)) owners.set(key, { uid, version: context?.version, owner: full });
  return full;
}
