// The messages of every lease, recognised by hand where they hold nothing unusual: to parse them and to check them against
// the schemas of messages.ts takes longer than all else that is done about them. NEVER accepts what a schema refuses;
// whatever is not plainly good is left to the schema, which also finds the words for it. Called by messages.ts and reception.ts.
import { MAX_WAIT_MS } from './limits.ts';
import type { LinkCallOf, LinkReply, PlainLease } from './messages.ts';
import { rememberCanonical, type SessionKey } from './session-key.ts';

/** Session keys remembered, and the longest text of one; a process seldom asks for more than a few. */
const MAX_KEYS = 1_024;
const MAX_KEY_CHARACTERS = 16 * 1024;

/** What of a line is before the session key, as wrappers write it, and what is behind. */
const LEASE_HEAD =
  /^\{"call":"lease","protocol":(\d{1,4}),"process":"([0-9a-f]{32})","lane":([1-9]\d{0,14}),"pid":([1-9]\d{0,9})$/;
const LEASE_TAIL = /^,"wait":(0|[1-9]\d{0,8}),"socket":\{\}\}$/;
const KEY_FIELD = ',"key":';
const TAIL_FIELD = ',"wait":';

/** Only such a text is the same characters in UTF-8 and in Latin-1. */
const ASCII = /^[\x20-\x7e]*$/;

/** Keys that the schema has found good, by their JSON. */
const goodKeys = new Map<string, SessionKey>();

/** Calls that were read here and are good. */
const goodLeases = new WeakSet<object>();

/**
 * Remembers a key that the schema has found good; equal ones that come later are this very object.
 * @param received as it was parsed
 * @param key what the schema made of it
 */
export function rememberKey(received: unknown, key: SessionKey): void {
  const text = JSON.stringify(received);
  if (text.length > MAX_KEY_CHARACTERS || !ASCII.test(text) || goodKeys.has(text)) return;
  const [oldest] = goodKeys.keys();
  if (goodKeys.size >= MAX_KEYS && oldest !== undefined) goodKeys.delete(oldest);
  rememberCanonical(key);
  goodKeys.set(text, key);
}

/**
 * The `lease` call in a line, or `undefined` where the line has to be parsed and checked. The text of a key that is
 * remembered is JSON, and nothing else in the line can be anything but what it looks like.
 * @param line bytes of the line
 */
export function plainLeaseIn(line: Buffer): Record<string, unknown> | undefined {
  if (line.length > MAX_KEY_CHARACTERS) return undefined;
  const text = line.toString('latin1');
  const keyAt = text.indexOf(KEY_FIELD);
  const tailAt = text.lastIndexOf(TAIL_FIELD);
  if (keyAt === -1 || tailAt < keyAt) return undefined;
  const head = LEASE_HEAD.exec(text.slice(0, keyAt));
  const tail = head && LEASE_TAIL.exec(text.slice(tailAt));
  const wait = Number(tail?.[1]);
  const key = goodKeys.get(text.slice(keyAt + KEY_FIELD.length, tailAt));
  if (head === null || tail === null || key === undefined || wait > MAX_WAIT_MS) return undefined;
  const [, protocol, process = '', lane, pid] = head;
  const call: PlainLease = {
    call: 'lease',
    protocol: Number(protocol),
    process,
    lane: Number(lane),
    pid: Number(pid),
    key,
    wait,
    socket: {},
  };
  goodLeases.add(call);
  return call;
}

/** True of a message that {@link plainLeaseIn} made. */
export function isPlainLease(message: object): message is PlainLease {
  return goodLeases.has(message);
}

/** The `release` call in a message, or `undefined` where the schema has to look at it. */
export function plainRelease(message: Record<string, unknown>): LinkCallOf<'release'> | undefined {
  for (const name in message) if (!RELEASE_FIELDS.has(name)) return undefined;
  const { call, id, lane, sent, received } = message;
  const isPlain =
    call === 'release' &&
    isCount(id) &&
    id > 0 &&
    isCount(lane) &&
    lane > 0 &&
    isCount(sent) &&
    isCount(received);
  return isPlain ? { call, id, lane, sent, received } : undefined;
}

const RELEASE_FIELDS: ReadonlySet<string> = new Set(['call', 'id', 'lane', 'sent', 'received']);

/** A reply on a link that says done, or `undefined` where the schema has to look at it. */
export function plainLinkReply(message: Record<string, unknown>): LinkReply | undefined {
  const { reply, rc } = message;
  const isPlain = isCount(reply) && reply > 0 && rc === 1 && !Object.hasOwn(message, 'error');
  return isPlain ? (message as LinkReply) : undefined;
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
