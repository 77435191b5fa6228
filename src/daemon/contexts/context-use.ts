// What a request means that names a context: the request must bring nothing of its own that the context decides, and the
// connection is then made with the daemon's. Called by lane-desk.ts (what it asks for) and upstream.ts (what is opened).
import { TlshubError } from '../../errors.ts';
import { isAlpnWire } from '../../protocol/alpn.ts';
import { NO_CA_SHA256 } from '../../protocol/ca-blob.ts';
import { type ContextKey, contextFields, type SessionKey } from '../../protocol/session-key.ts';
import type { Contexts, ResolvedContext } from './contexts.ts';

/**
 * The context that a request names, or `undefined` when it names none. Throws ERR_TLSHUB_CONTEXT_UNKNOWN,
 * ERR_TLSHUB_INVALID_CALL when the request brings material of its own, and ERR_TLSHUB_INVALID_OPTION for a protocol
 * (ALPN) that the context does not allow.
 * @param key what a client asked for
 * @param uid whose process it is
 */
export function contextOf(key: SessionKey, uid: number, contexts: Contexts): ResolvedContext | undefined {
  if (key.context === null) return undefined;
  refuseMaterial(key);
  const context = contexts.get(key.context, uid, 'client');
  refuseOtherProtocols(key, context);
  return context;
}

/**
 * The session key with what its context stands for: the client's own protocols (ALPN), if it gave any, else those of
 * the context.
 * @param key what a client asked for
 */
export function keyWithContext(key: SessionKey, { context, ALPNProtocols }: ResolvedContext): SessionKey {
  return { ...key, ...context, ALPNProtocols: key.ALPNProtocols ?? ALPNProtocols };
}

/** Throws ERR_TLSHUB_INVALID_CALL when fields that a context decides have a value; for client and server keys. */
export function refuseMaterial(key: ContextKey): void {
  const own = (Object.keys(contextFields) as (keyof ContextKey)[]).find((field) =>
    field === 'ca' ? key.ca !== NO_CA_SHA256 : key[field] !== null,
  );
  if (own === undefined) return;
  throw new TlshubError('ERR_TLSHUB_INVALID_CALL', `"${own}" must be empty where "context" is given`);
}

function refuseOtherProtocols(
  { context, ALPNProtocols: asked }: SessionKey,
  resolved: ResolvedContext,
): void {
  const { ALPNProtocols: allowed } = resolved;
  if (asked === null || allowed === null) return;
  const names = new Set(namesOf(allowed));
  const other = namesOf(asked).find((name) => !names.has(name));
  if (other === undefined) return;
  throw new TlshubError(
    'ERR_TLSHUB_INVALID_OPTION',
    `"ALPNProtocols" has ${JSON.stringify(other)}, which the context "${context}" does not allow; ` +
      `it has: ${[...names].join(', ')}`,
  );
}

/** The names of a list in wire form; one that is none is refused where it would be used. */
function namesOf(base64: string): string[] {
  const list = Buffer.from(base64, 'base64');
  const names: string[] = [];
  if (!isAlpnWire(list)) return names;
  for (let offset = 0; offset < list.length; offset += 1 + (list[offset] ?? 0)) {
    names.push(list.toString('latin1', offset + 1, offset + 1 + (list[offset] ?? 0)));
  }
  return names;
}
