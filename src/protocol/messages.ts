// Every message of the wire with its schema: calls (wrapper → daemon, answered once), replies, and events (either
// way, not answered). PROTOCOL.md is the contract; test/repo compares its tables with the ones below.
import * as v from 'valibot';
import { ERROR_CODES, TlshubError, type TlshubErrorCode } from '../errors.ts';
import { endpointCalls, endpointEvents } from './endpoint-messages.ts';
import { MAX_TIMER_MS } from './limits.ts';
import {
  base64,
  callId,
  count,
  laneId,
  processId,
  sessionId,
  socketSettings,
  stateBytes,
  waitMs,
  wireError,
} from './message-fields.ts';
import { messageRuleSchema } from './message-splitter.ts';
import { isPlainLease, plainLinkReply, plainRelease, rememberKey } from './plain-messages.ts';
import { serverCalls, serverEvents } from './server-messages.ts';
import { sessionKeySchema, sha256Schema } from './session-key.ts';
import { COMMIT_KINDS, SESSION_MODES, sessionNameSchema } from './session-name.ts';
import { shardCalls } from './shard-messages.ts';

/** Asks for a named session: join it, or open it. The lane is framed then (frame-codec.ts). */
const namedSettings = v.strictObject({
  name: sessionNameSchema,
  mode: v.picklist(SESSION_MODES),
  commit: v.picklist(COMMIT_KINDS),
  /** Where a message ends, in turn mode. */
  messages: messageRuleSchema,
  /** Milliseconds that it stays without a holder. */
  linger: waitMs,
});

/** Calls that open a lane: the first and only line on it; raw bytes follow the reply. */
export const laneCalls = {
  lease: v.strictObject({
    call: v.literal('lease'),
    protocol: count,
    process: v.optional(processId),
    lane: v.optional(laneId),
    pid: v.optional(count),
    key: sessionKeySchema,
    wait: waitMs,
    socket: socketSettings,
    named: v.optional(namedSettings),
  }),
  attach: v.strictObject({
    call: v.literal('attach'),
    protocol: count,
    process: v.optional(processId),
    lane: v.optional(laneId),
    pid: v.optional(count),
    /** A handle, or the name of a named session. */
    handle: v.pipe(v.string(), v.maxLength(256)),
    wait: waitMs,
    socket: socketSettings,
    commit: v.optional(v.picklist(COMMIT_KINDS)),
  }),
  /** Makes the connection a trunk: the lanes of all sessions of this process's servers, in frames. */
  trunk: v.strictObject({
    call: v.literal('trunk'),
    protocol: count,
    process: processId,
  }),
} as const;

/** Calls on a link; each carries an `id` that its reply repeats as `reply`. */
export const linkCalls = {
  hello: v.strictObject({
    call: v.literal('hello'),
    id: callId,
    protocol: count,
    process: processId,
    pid: count,
    version: v.pipe(v.string(), v.maxLength(64)),
  }),
  /** `sent` and `received` are the wrapper's byte counts of the lane, `received` what the application consumed. */
  release: v.strictObject({
    call: v.literal('release'),
    id: callId,
    lane: laneId,
    sent: count,
    received: count,
  }),
  /** `received` on framed lanes only: a raw one gives its unread bytes back (`detached`). */
  detach: v.strictObject({
    call: v.literal('detach'),
    id: callId,
    lane: laneId,
    sent: count,
    received: v.optional(count),
  }),
  /** Follows `detach`: that many unread bytes come back on the lane, then its end. */
  detached: v.strictObject({ call: v.literal('detached'), id: callId, lane: laneId, unread: count }),
  /** Named sessions: every byte before `offset` is consumed for good. */
  commit: v.strictObject({ call: v.literal('commit'), id: callId, lane: laneId, offset: count }),
  /** Named sessions: opaque state of the application that the next holder gets. */
  setState: v.strictObject({
    call: v.literal('setState'),
    id: callId,
    lane: laneId,
    state: stateBytes,
  }),
  /** Gives the session a name, and with it a life of its own. */
  setName: v.strictObject({
    call: v.literal('setName'),
    id: callId,
    lane: laneId,
    name: sessionNameSchema,
    linger: v.optional(waitMs),
  }),
  /**
   * Leaves a session to a command that is started when bytes arrive: one that nobody holds (`handle`), or the one of
   * a framed lane, which ends with it (`lane`, `sent` and `received`, as in `release`).
   */
  park: v.strictObject({
    call: v.literal('park'),
    id: callId,
    /** A handle, or a name. */
    handle: v.optional(v.pipe(v.string(), v.maxLength(256))),
    lane: v.optional(laneId),
    sent: v.optional(count),
    received: v.optional(count),
    run: v.pipe(v.array(v.pipe(v.string(), v.maxLength(131_072))), v.minLength(1), v.maxLength(1_024)),
    /** Absolute. */
    cwd: v.pipe(v.string(), v.startsWith('/'), v.maxLength(4_096)),
    stdio: v.boolean(),
    timeout: v.nullable(v.pipe(count, v.maxValue(MAX_TIMER_MS))),
    state: v.optional(stateBytes),
  }),
  /** The application's own check refused the peer's certificate: the session ends for everyone. */
  refuse: v.strictObject({ call: v.literal('refuse'), id: callId, lane: laneId }),
  put: v.strictObject({
    call: v.literal('put'),
    id: callId,
    sha256: sha256Schema,
    offset: count,
    data: base64,
    last: v.boolean(),
  }),
  set: v.strictObject({
    call: v.literal('set'),
    id: callId,
    lane: laneId,
    noDelay: v.optional(v.boolean()),
    keepAlive: v.optional(v.boolean()),
    keepAliveInitialDelay: v.optional(count),
    maxSendFragment: v.optional(v.pipe(v.number(), v.integer(), v.minValue(512), v.maxValue(16384))),
    disableRenegotiation: v.optional(v.literal(true)),
  }),
  renegotiate: v.strictObject({
    call: v.literal('renegotiate'),
    id: callId,
    lane: laneId,
    rejectUnauthorized: v.optional(v.boolean()),
    requestCert: v.optional(v.boolean()),
  }),
  /** RFC 5705 exporter; `process` and `lane` because it may come on a link of its own (it is a blocking call). */
  export: v.strictObject({
    call: v.literal('export'),
    id: callId,
    process: processId,
    lane: laneId,
    length: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(16384)),
    label: v.pipe(v.string(), v.maxLength(1024)),
    context: v.nullable(base64),
  }),
  ...serverCalls,
  ...endpointCalls,
  ...shardCalls,
  sessions: v.strictObject({ call: v.literal('sessions'), id: callId }),
  inspect: v.strictObject({ call: v.literal('inspect'), id: callId, session: sessionId }),
  close: v.strictObject({ call: v.literal('close'), id: callId, session: sessionId }),
  status: v.strictObject({ call: v.literal('status'), id: callId }),
  /** Reads the configuration file again; all of it counts, or nothing. */
  reload: v.strictObject({ call: v.literal('reload'), id: callId }),
  /** Ends the daemon: no new sessions, lanes may finish for `deadline` milliseconds. */
  drain: v.strictObject({ call: v.literal('drain'), id: callId, deadline: v.optional(waitMs) }),
} as const;

/** Events: neither side answers them. */
export const events = {
  /** Either way: the sender's side of the lane ends now (`rc` 0 cleanly, −1 not); `bytes` is what it sent before. */
  'lane-end': v.strictObject({
    event: v.literal('lane-end'),
    lane: laneId,
    rc: v.picklist([0, -1]),
    bytes: count,
    error: v.optional(wireError),
  }),
  /** Daemon → wrapper: the peer has sent a session ticket; `ticket` is an opaque name of it, not the ticket. */
  ticket: v.strictObject({ event: v.literal('ticket'), lane: laneId, ticket: base64 }),
  ...serverEvents,
  ...endpointEvents,
  /** Daemon → wrapper: the daemon is shutting down; lanes may finish, new ones are refused. */
  drain: v.strictObject({ event: v.literal('drain'), deadline: count }),
} as const;

/** What the wrapper must know of a TLS session to answer the members of `tls.TLSSocket`. */
export const tlsInfoSchema = v.object({
  protocol: v.nullable(v.string()),
  cipher: v.nullable(v.object({ name: v.string(), standardName: v.string(), version: v.string() })),
  /** `false` when none was agreed, as `tls.TLSSocket.alpnProtocol`. */
  alpnProtocol: v.union([v.string(), v.literal(false), v.null()]),
  servername: v.nullable(v.union([v.string(), v.literal(false)])),
  authorized: v.boolean(),
  authorizationError: v.nullable(v.string()),
  /** The peer's certificate and its issuers as far as they are known, DER. */
  peerChain: v.array(base64),
  /** True when the last certificate of the chain is its own issuer. */
  peerChainRooted: v.boolean(),
  /** How many of the chain the peer sent itself; the others come from the trusted list. */
  peerSent: count,
  /** Our own certificate, DER. */
  certificate: v.nullable(base64),
  ephemeralKeyInfo: v.nullable(v.record(v.string(), v.union([v.string(), v.number()]))),
  finished: v.nullable(base64),
  peerFinished: v.nullable(base64),
  /** `tls-exporter` channel binding (RFC 9266), 32 bytes. */
  exporter: v.nullable(base64),
  sharedSigalgs: v.array(v.string()),
  resumed: v.boolean(),
  /** Opaque name of the session's ticket, or `null` when the peer sent none yet. */
  ticket: v.nullable(base64),
  localAddress: v.nullable(v.string()),
  localPort: v.nullable(v.number()),
  localFamily: v.nullable(v.string()),
  remoteAddress: v.nullable(v.string()),
  remotePort: v.nullable(v.number()),
  remoteFamily: v.nullable(v.string()),
});

/** Description of one TLS session, as an open reply carries it. */
export type TlsInfo = v.InferOutput<typeof tlsInfoSchema>;

/** What node:tls emits while a session is opened, and the wrapper emits again. */
const openEventName = v.picklist([
  'lookup',
  'connectionAttempt',
  'connectionAttemptFailed',
  'connectionAttemptTimeout',
  'connect',
  'OCSPResponse',
]);

/** Lines of the daemon on a lane before its reply. */
export const laneEvents = {
  /** node:tls emitted an event, with these arguments, while the session is opened for this lane. */
  open: v.strictObject({ event: v.literal('open'), name: openEventName, args: v.array(v.unknown()) }),
} as const;

/** An event that node:tls emitted while the session was opened for another lane: name and arguments. */
export const openEventSchema = v.tuple([openEventName, v.array(v.unknown())]);

/** One replayed event. */
export type OpenEvent = v.InferOutput<typeof openEventSchema>;

/** In the reply of a framed lane: which session this is, and where its stream goes on. */
const framedSchema = v.object({
  name: v.nullable(v.string()),
  mode: v.picklist(SESSION_MODES),
  commit: v.picklist(COMMIT_KINDS),
  /** Offset of the next byte from the peer. */
  resumedAt: count,
  /** Offset of the next byte to the peer: so many were taken for it since the session began. */
  writtenAt: count,
  state: v.nullable(base64),
});

/** The reply on a lane: done with the session's description, or failed with the error of the SSL call. */
export const laneReplySchema = v.variant('rc', [
  v.object({
    rc: v.literal(1),
    session: sessionId,
    reused: v.boolean(),
    events: v.array(openEventSchema),
    tls: tlsInfoSchema,
    framed: v.optional(framedSchema),
  }),
  v.object({ rc: v.literal(-1), error: wireError }),
]);

/** A lane's reply line. */
export type LaneReply = v.InferOutput<typeof laneReplySchema>;

/** A reply on a link; what it carries besides depends on the call (PROTOCOL.md). */
export const linkReplySchema = v.looseObject({
  reply: callId,
  rc: v.picklist([1, 0, -1]),
  error: v.optional(wireError),
});

/** A link's reply. */
export type LinkReply = v.InferOutput<typeof linkReplySchema>;

/** A call that opens a lane. */
export type LaneCall = {
  [Name in keyof typeof laneCalls]: v.InferOutput<(typeof laneCalls)[Name]>;
}[keyof typeof laneCalls];
/** The call that leases a session without a life of its own, as a process with a link makes it. */
export type PlainLease = Omit<v.InferOutput<typeof laneCalls.lease>, 'named'>;
/** A call on a link. */
export type LinkCall = {
  [Name in keyof typeof linkCalls]: v.InferOutput<(typeof linkCalls)[Name]>;
}[keyof typeof linkCalls];
/** The call of one name. */
export type LinkCallOf<Name extends keyof typeof linkCalls> = v.InferOutput<(typeof linkCalls)[Name]>;
/** An event. */
export type WireEvent = {
  [Name in keyof typeof events]: v.InferOutput<(typeof events)[Name]>;
}[keyof typeof events];
/** An error as it travels. */
export type WireError = v.InferOutput<typeof wireError>;

type Table = Readonly<Record<string, v.GenericSchema>>;

/**
 * The message checked against the schema of its name in a table.
 * Throws `unknownCode` for a name that the table lacks and `invalidCode` for a message that does not fit.
 */
function check<Schemas extends Table>(
  table: Schemas,
  name: unknown,
  message: unknown,
  unknownCode: TlshubErrorCode,
  invalidCode: TlshubErrorCode,
): v.InferOutput<Schemas[keyof Schemas]> {
  if (typeof name !== 'string' || !Object.hasOwn(table, name)) {
    const shown = typeof name === 'string' ? JSON.stringify(name.slice(0, 64)) : 'without a name';
    throw new TlshubError(unknownCode, `${ERROR_CODES[unknownCode]} (${shown})`);
  }
  return checkSchema(table[name] as Schemas[keyof Schemas], message, invalidCode, name);
}

function checkSchema<Schema extends v.GenericSchema>(
  schema: Schema,
  message: unknown,
  code: TlshubErrorCode,
  what: string,
): v.InferOutput<Schema> {
  const result = v.safeParse(schema, message, { abortEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  // The issue's own text may quote what was received, which can be a private key; the path cannot.
  const path = v.getDotPath(issue);
  throw new TlshubError(
    code,
    `${what}: ${path === null ? 'the message' : `"${path}"`} does not fit (expected ${issue.expected ?? 'another value'})`,
  );
}

/** The link call in a line's value. Throws ERR_TLSHUB_UNKNOWN_CALL or ERR_TLSHUB_INVALID_CALL. */
export function parseLinkCall(message: Record<string, unknown>): LinkCall {
  const plain = plainRelease(message);
  if (plain !== undefined) return plain;
  return check(linkCalls, message.call, message, 'ERR_TLSHUB_UNKNOWN_CALL', 'ERR_TLSHUB_INVALID_CALL');
}

/** The lane call in a line's value. Throws ERR_TLSHUB_UNKNOWN_CALL or ERR_TLSHUB_INVALID_CALL. */
export function parseLaneCall(message: Record<string, unknown>): LaneCall {
  if (isPlainLease(message)) return message;
  const call = check(laneCalls, message.call, message, 'ERR_TLSHUB_UNKNOWN_CALL', 'ERR_TLSHUB_INVALID_CALL');
  if (call.call === 'lease') rememberKey(message.key, call.key);
  return call;
}

/** The event in a line's value. Throws ERR_TLSHUB_PROTOCOL: an unknown event cannot be answered. */
export function parseEvent(message: Record<string, unknown>): WireEvent {
  return check(events, message.event, message, 'ERR_TLSHUB_PROTOCOL', 'ERR_TLSHUB_PROTOCOL');
}

/** The event in a line of a lane. Throws ERR_TLSHUB_PROTOCOL. */
export function parseOpenEvent(message: Record<string, unknown>): v.InferOutput<typeof laneEvents.open> {
  return check(laneEvents, message.event, message, 'ERR_TLSHUB_PROTOCOL', 'ERR_TLSHUB_PROTOCOL');
}

/** The reply line of a lane. Throws ERR_TLSHUB_PROTOCOL. */
export function parseLaneReply(message: Record<string, unknown>): LaneReply {
  return checkSchema(laneReplySchema, message, 'ERR_TLSHUB_PROTOCOL', 'reply');
}

/** A reply on a link. Throws ERR_TLSHUB_PROTOCOL. */
export function parseLinkReply(message: Record<string, unknown>): LinkReply {
  return plainLinkReply(message) ?? checkSchema(linkReplySchema, message, 'ERR_TLSHUB_PROTOCOL', 'reply');
}
