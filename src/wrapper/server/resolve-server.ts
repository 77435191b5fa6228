// Turns the options of tls.createServer into what the daemon needs to know of the server, or into the reason why it
// cannot be shared. The counterpart of resolve-request.ts, with the same rules: never throws, leaves to node:tls
// whatever node:tls might refuse, fills in the defaults of this process. Called by the wrapper's server, once for
// each server and each change of its certificates.
import tls from 'node:tls';
import { blobHash } from '../../protocol/ca-blob.ts';
import type { ServerKey } from '../../protocol/server-key.ts';
import type { ContextKey } from '../../protocol/session-key.ts';
import {
  type ContextDescription,
  describeContext,
  isUnshareable,
  type Options,
  refuseOptions,
  type Unshareable,
} from '../context-key.ts';
import type { OptionRule } from '../options.ts';
import { nodeFunctions, processObstacle } from '../process-settings.ts';
import { alpn, type SocketSettings, type UnshareableRequest } from '../resolve-request.ts';
import { createSecureContext, describeSecureContext } from '../secure-context.ts';
import { SERVER_CONTEXT_RULES, SERVER_OPTION_RULES } from './server-options.ts';

/** What the wrapper applies to the sockets of a server by itself. */
export interface ServerLocalOptions {
  allowHalfOpen: boolean;
  pauseOnConnect: boolean;
}

/** Functions of the application that a worker is asked for; absent ones were not given. */
export interface ServerFunctions {
  SNICallback: NonNullable<tls.TlsOptions['SNICallback']> | undefined;
  ALPNCallback: NonNullable<tls.TlsOptions['ALPNCallback']> | undefined;
}

/** A server that can be shared. */
export interface SharedServer {
  shared: true;
  key: ServerKey;
  /** The certificates named by `key.ca`, or `undefined` when they cannot or need not be sent. */
  caBlob: () => Buffer | undefined;
  functions: ServerFunctions;
  /** Settings of the TCP connections. */
  socket: SocketSettings;
  local: ServerLocalOptions;
}

/** A secure context that can cross. */
export interface CrossingContext {
  context: ContextKey;
  /** The certificates named by `context.ca`, or `undefined` when they cannot be sent. */
  caBlob: () => Buffer | undefined;
}

/** What is asked for beside the options. */
export interface ServerSettings {
  /** Name of a context of the daemon's configuration (`shared.context`); then the options must have none. */
  context?: string | undefined;
  /** The server has a listener for `OCSPRequest`. */
  ocsp?: boolean;
}

/** node:tls hashes its command line, which differs between the workers of a group; groups share no ticket keys. */
const SESSION_ID_CONTEXT = 'tlshub';

/** Exported by node:tls, by which it tells a context from options; its types do not name it. */
const { SecureContext } = tls as unknown as { SecureContext: new () => tls.SecureContext };

const DEFAULT_HANDSHAKE_TIMEOUT_MS = 120_000;

/** The fields of a context that the daemon takes from its own configuration. */
const NO_CONTEXT: ContextKey = {
  ca: blobHash(''),
  ...{ cert: null, key: null, pfx: null, passphrase: null, crl: null, dhparam: null },
  ...{ ciphers: null, sigalgs: null, ecdhCurve: null, minVersion: null, maxVersion: null },
  ...{ secureProtocol: null, secureOptions: null, honorCipherOrder: null, sessionIdContext: null },
  ...{ sessionTimeout: null, ticketKeys: null, allowPartialTrustChain: null, certificateCompression: null },
};

/**
 * What the daemon needs to know of a server, or why it cannot be shared. Never throws.
 * @param options as tls.createServer takes them; `shared` is not looked at
 * @param settings what is asked for beside them
 */
export function resolveServer(
  options: object,
  settings: ServerSettings = {},
): SharedServer | UnshareableRequest {
  try {
    const hidden = refuseHidden(options, SERVER_OPTION_RULES);
    if (hidden !== undefined) return { shared: false, reason: hidden };
    // Getters are asked once.
    return resolveOptions({ ...options }, settings);
  } catch (error) {
    return { shared: false, reason: unreadable(error) };
  }
}

/**
 * The context that `server.setSecureContext(options)` asks for, by the rules of tls.createServer, or why it cannot
 * cross. Never throws.
 * @param options as tls.Server takes them
 * @param previous the context in use: its `sessionTimeout` and `ticketKeys` stay where no others are given
 */
export function describeServerContext(
  options: unknown,
  previous?: Pick<ContextKey, 'sessionTimeout' | 'ticketKeys'>,
): CrossingContext | Unshareable {
  return describing(options, SERVER_OPTION_RULES, (copy) => {
    const description = serverContext(copy);
    if (isUnshareable(description)) return description;
    const { key } = description;
    return crossing({
      ca: description.ca,
      key: {
        ...key,
        sessionTimeout: key.sessionTimeout ?? previous?.sessionTimeout ?? null,
        ticketKeys: key.ticketKeys ?? previous?.ticketKeys ?? null,
      },
    });
  });
}

/**
 * The context that `server.addContext` or the answer of an `SNICallback` names, or why it cannot cross. Never throws.
 * @param context plain options of tls.createSecureContext, or what createSecureContext of tlshub made
 */
export function describeContextOption(context: unknown): CrossingContext | Unshareable {
  if (context instanceof SecureContext) return crossing(describeSecureContext(context));
  return describing(context ?? {}, SERVER_CONTEXT_RULES, (copy) => {
    const refused = refuseOptions(copy, 'all', SERVER_CONTEXT_RULES);
    return refused === undefined ? crossing(describeContext(copy)) : { reason: refused };
  });
}

function resolveOptions(options: Options, settings: ServerSettings): SharedServer | UnshareableRequest {
  const refused = processObstacle() ?? refuseOptions(options, 'not context', SERVER_OPTION_RULES);
  if (refused !== undefined) return { shared: false, reason: refused };
  const context = settings.context === undefined ? crossing(serverContext(options)) : namedContext(options);
  if (isUnshareable(context)) return { shared: false, reason: context.reason };
  const { SNICallback, ALPNCallback } = options as Partial<ServerFunctions>;
  return {
    shared: true,
    key: {
      context: settings.context ?? null,
      ...context.context,
      ALPNProtocols: alpn(options.ALPNProtocols),
      requestCert: options.requestCert === true,
      rejectUnauthorized: options.rejectUnauthorized !== false,
      handshakeTimeout: Number(options.handshakeTimeout) || DEFAULT_HANDSHAKE_TIMEOUT_MS,
      asks: { sni: Boolean(SNICallback), alpn: Boolean(ALPNCallback), ocsp: settings.ocsp ?? false },
    },
    caBlob: context.caBlob,
    functions: { SNICallback: SNICallback || undefined, ALPNCallback: ALPNCallback || undefined },
    socket: socketSettings(options),
    local: {
      allowHalfOpen: Boolean(options.allowHalfOpen),
      pauseOnConnect: Boolean(options.pauseOnConnect),
    },
  };
}

/** Nothing that a context is made of may be given beside the name of one. */
function namedContext(options: Options): CrossingContext | Unshareable {
  const given = Object.keys(options).find(
    (name) => options[name] !== undefined && SERVER_OPTION_RULES.get(name)?.context === true,
  );
  if (given !== undefined) return { reason: `option "${given}" and "shared.context" exclude each other` };
  return { context: NO_CONTEXT, caBlob: () => undefined };
}

/** What tls.Server makes a context of. */
function serverContext(options: Options): ContextDescription | Unshareable {
  if (
    tls.createSecureContext !== nodeFunctions.createSecureContext &&
    tls.createSecureContext !== createSecureContext
  ) {
    return { reason: 'tls.createSecureContext was replaced in this process' };
  }
  const given = handedOn(options);
  const refused = refuseOptions(given, 'context', SERVER_OPTION_RULES);
  return refused === undefined ? describeContext(given) : { reason: refused };
}

/** Options of a context that tls.Server hands on whatever their value; of the others, falsy ones count as absent. */
const HANDED_ON_AS_GIVEN: readonly string[] = [
  ...['sigalgs', 'ecdhCurve', 'privateKeyIdentifier', 'privateKeyEngine', 'certificateCompression'],
];

function handedOn(options: Options): Options {
  const entries = Object.entries(options).filter(
    ([name, value]) =>
      SERVER_OPTION_RULES.get(name)?.context === true &&
      (HANDED_ON_AS_GIVEN.includes(name) || Boolean(value)),
  );
  return {
    sessionIdContext: SESSION_ID_CONTEXT,
    ...Object.fromEntries(entries),
    honorCipherOrder: options.honorCipherOrder === undefined || Boolean(options.honorCipherOrder),
  };
}

function describing(
  given: unknown,
  rules: ReadonlyMap<string, OptionRule>,
  describe: (copy: Options) => CrossingContext | Unshareable,
): CrossingContext | Unshareable {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    return { reason: 'a context that is no object is left to node:tls' };
  }
  try {
    const hidden = refuseHidden(given, rules);
    return hidden === undefined ? describe({ ...given }) : { reason: hidden };
  } catch (error) {
    return { reason: unreadable(error) };
  }
}

function crossing(description: ContextDescription | Unshareable): CrossingContext | Unshareable {
  if (isUnshareable(description)) return description;
  const { key, ca } = description;
  return { context: { ca: ca.sha256, ...key }, caBlob: ca.blob };
}

/** node:tls reads options that are inherited or not enumerable too, and a copy has none of them. */
function refuseHidden(options: object, rules: ReadonlyMap<string, OptionRule>): string | undefined {
  for (const name of rules.keys()) {
    if (name in options && !Object.prototype.propertyIsEnumerable.call(options, name)) {
      return `option "${name}" is inherited or hidden`;
    }
  }
  return undefined;
}

function unreadable(error: unknown): string {
  return `the options cannot be read: ${(error as Error).message}`;
}

/** As net.Server sets them for each connection. */
function socketSettings(options: Options): SocketSettings {
  const { noDelay, keepAlive, keepAliveInitialDelay: delayMs } = options;
  const settings: SocketSettings = {};
  if (noDelay) settings.noDelay = true;
  if (keepAlive) settings.keepAlive = true;
  if (delayMs !== undefined) settings.keepAliveInitialDelay = Math.max(0, Math.trunc(Number(delayMs)));
  return settings;
}
