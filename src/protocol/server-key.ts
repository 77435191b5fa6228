// What a shared server is made with: the TLS options that all workers of a group must have in common, and where it
// listens. As in a session key the wrapper fills in every field; the daemon has no defaults of its own.
import * as v from 'valibot';
import { MAX_BACKLOG, MAX_TIMER_MS } from './limits.ts';
import { contextFields } from './session-key.ts';
import { sessionNameSchema } from './session-name.ts';

const base64 = v.pipe(v.string(), v.regex(/^[A-Za-z0-9+/]*={0,2}$/, 'is not base64'));
const text = v.nullable(v.string());
const backlog = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_BACKLOG));

/** How new sessions are given to the workers of a group. */
export const BALANCES = ['fewest', 'round-robin'] as const;

/** One of {@link BALANCES}. */
export type Balance = (typeof BALANCES)[number];

/** TLS options of a server as they travel; equal in all workers of a group. */
export const serverKeyFields = {
  /** Name of a context of the daemon's configuration; the fields of the context below are `null` then. */
  context: v.nullable(sessionNameSchema),
  ...contextFields,
  /** ALPN list in wire form (RFC 7301 §3.1). */
  ALPNProtocols: v.nullable(base64),
  requestCert: v.boolean(),
  rejectUnauthorized: v.boolean(),
  /** Milliseconds. */
  handshakeTimeout: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(MAX_TIMER_MS)),
  /** What a worker is asked in each handshake, because the application has a function or a listener for it. */
  asks: v.strictObject({ sni: v.boolean(), alpn: v.boolean(), ocsp: v.boolean() }),
} as const;

/** Schema of the TLS options of a server. */
export const serverKeySchema = v.strictObject(serverKeyFields);

/** TLS options of a server. */
export type ServerKey = v.InferOutput<typeof serverKeySchema>;

/** Where a server listens, as `net.Server.listen` takes it. */
export const listenAddressSchema = v.strictObject({
  host: text,
  /** `null` with `path`. */
  port: v.nullable(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(65535))),
  /** Absolute path of a Unix socket, or a name that begins with a zero (abstract). */
  path: text,
  ipv6Only: v.boolean(),
  /** True: the address is not shared with other workers. */
  exclusive: v.boolean(),
  reusePort: v.boolean(),
  readableAll: v.boolean(),
  writableAll: v.boolean(),
  /** Of the kernel's queue; `null` is Node's default. */
  backlog: v.nullable(backlog),
});

/** Where a server listens. */
export type ListenAddress = v.InferOutput<typeof listenAddressSchema>;

/** What a worker wants of its group; the newest worker's word counts. */
export const groupSettingsSchema = v.strictObject({
  /** Workers that give the same name are one group, whatever port the system chose. */
  name: v.nullable(sessionNameSchema),
  balance: v.picklist(BALANCES),
  /** Milliseconds that the port stays open when the last worker has gone. */
  linger: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_TIMER_MS)),
  /** Most sessions that wait for a worker. */
  backlog,
});

/** What a worker wants of its group. */
export type GroupSettings = v.InferOutput<typeof groupSettingsSchema>;
