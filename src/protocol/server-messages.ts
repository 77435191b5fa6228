// The messages of the wire about servers; messages.ts puts them into its tables.
import * as v from 'valibot';
import {
  base64,
  callId,
  count,
  laneId,
  listenerId,
  questionId,
  socketSettings,
  wireError,
} from './message-fields.ts';
import { groupSettingsSchema, listenAddressSchema, serverKeySchema } from './server-key.ts';
import { contextSchema } from './session-key.ts';

/** A certificate for server names that match, as `tls.Server.addContext` takes it. */
export const namedContext = v.strictObject({
  servername: v.pipe(v.string(), v.minLength(1), v.maxLength(255)),
  context: contextSchema,
});

/** Calls about servers. */
export const serverCalls = {
  /** Opens a port, or joins the group of workers that has it; sessions come as `offer` events. */
  listen: v.strictObject({
    call: v.literal('listen'),
    id: callId,
    listener: listenerId,
    address: listenAddressSchema,
    server: serverKeySchema,
    /** Certificates for server names (`tls.Server.addContext`). */
    contexts: v.array(namedContext),
    /** Keys of session tickets that the application has set. */
    ticketKeys: v.optional(base64),
    group: groupSettingsSchema,
    /** Whether sessions outlive their process (framed lanes); `null`: when this worker adopts. */
    survive: v.nullable(v.boolean()),
    /** This worker takes sessions over from others. */
    adopts: v.boolean(),
    socket: socketSettings,
  }),
  /** The worker takes no more sessions. The last one closes the port, at once or (`linger`) when that time is over. */
  unlisten: v.strictObject({
    call: v.literal('unlisten'),
    id: callId,
    listener: listenerId,
    linger: v.boolean(),
  }),
  setAdopts: v.strictObject({
    call: v.literal('setAdopts'),
    id: callId,
    listener: listenerId,
    adopts: v.boolean(),
  }),
  /** New certificates for the group; live sessions stay. */
  setContext: v.strictObject({
    call: v.literal('setContext'),
    id: callId,
    listener: listenerId,
    context: contextSchema,
  }),
  /** A certificate for server names that match (`tls.Server.addContext`). */
  addContext: v.strictObject({
    call: v.literal('addContext'),
    id: callId,
    listener: listenerId,
    ...namedContext.entries,
  }),
  setTicketKeys: v.strictObject({
    call: v.literal('setTicketKeys'),
    id: callId,
    listener: listenerId,
    keys: base64,
  }),
  /** The worker does not want the session that it was offered; it is closed. */
  decline: v.strictObject({
    call: v.literal('decline'),
    id: callId,
    handle: v.pipe(v.string(), v.maxLength(256)),
  }),
  /** Gives a session of a server to another worker of the group, now or when one comes. */
  handOff: v.strictObject({
    call: v.literal('handOff'),
    id: callId,
    lane: laneId,
    sent: count,
    received: count,
  }),
} as const;

/** Events about servers. */
export const serverEvents = {
  /** Daemon → wrapper: a session for a worker, which attaches to the handle; `adopted`: another worker had it before. */
  offer: v.strictObject({
    event: v.literal('offer'),
    listener: listenerId,
    handle: v.string(),
    adopted: v.boolean(),
  }),
  /** Daemon → wrapper: a handshake waits for a word of the application. */
  question: v.strictObject({
    event: v.literal('question'),
    listener: listenerId,
    question: questionId,
    kind: v.picklist(['sni', 'alpn', 'ocsp']),
    servername: v.optional(v.string()),
    /** `alpn`: what the client offers. */
    protocols: v.optional(v.array(v.string())),
    /** `ocsp`: the server's certificate and its issuer, DER. */
    certificate: v.optional(base64),
    issuer: v.optional(v.nullable(base64)),
  }),
  /** Wrapper → daemon: the answer; without any of the fields it is none. */
  answer: v.strictObject({
    event: v.literal('answer'),
    question: questionId,
    context: v.optional(contextSchema),
    protocol: v.optional(v.string()),
    response: v.optional(base64),
    error: v.optional(wireError),
  }),
  /** Daemon → wrapper: a handshake failed (`tlsClientError`). */
  'client-error': v.strictObject({
    event: v.literal('client-error'),
    listener: listenerId,
    error: wireError,
    remoteAddress: v.nullable(v.string()),
    remotePort: v.nullable(v.number()),
    remoteFamily: v.nullable(v.string()),
  }),
  /** Daemon → wrapper: the port is closed, and not by this worker. */
  'listener-end': v.strictObject({
    event: v.literal('listener-end'),
    listener: listenerId,
    error: wireError,
  }),
} as const;
