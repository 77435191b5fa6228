// Fields that several messages of the wire have, as schemas.
import * as v from 'valibot';
import { MAX_STATE_BYTES, MAX_WAIT_MS } from './limits.ts';

/** Bytes (RFC 4648 §4). */
export const base64 = v.pipe(v.string(), v.regex(/^[A-Za-z0-9+/]*={0,2}$/, 'is not base64'));
/** A number of things, or an offset. */
export const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
/** Milliseconds to wait, up to a day. */
export const waitMs = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_WAIT_MS));
/** Names a process: 128 bits that it draws. */
export const processId = v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/, 'is not 128 bits in hexadecimal'));
/** Names a lane within its process; drawn by the wrapper, never used twice. */
export const laneId = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
/** State of an application, as bytes. */
export const stateBytes = v.pipe(
  base64,
  v.check((text) => Buffer.byteLength(text, 'base64') <= MAX_STATE_BYTES, 'is too long'),
);
/** Chosen by the caller; the reply repeats it. */
export const callId = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
/** Names a server of the wrapper within its process; drawn by the wrapper, never used twice. */
export const listenerId = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
/** Names an endpoint of the wrapper within its process; drawn by the wrapper, never used twice. */
export const endpointId = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
/** Chosen by the daemon; the answer repeats it. */
export const questionId = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
/** The daemon's name of a session. */
export const sessionId = v.pipe(v.string(), v.regex(/^s(?:[1-9]\d?-)?[1-9]\d*$/, 'is not a session id'));

/** Settings of the TCP connection that each lease sets anew. */
export const socketSettings = v.strictObject({
  noDelay: v.optional(v.boolean()),
  keepAlive: v.optional(v.boolean()),
  /** Milliseconds. */
  keepAliveInitialDelay: v.optional(count),
});

/** An error as it travels (wire-error.ts). */
export const wireError = v.looseObject({ code: v.optional(v.string()), message: v.string() });
