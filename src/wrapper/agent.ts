// tls.Agent: an https.Agent whose connections are leases of shared sessions. A lease lasts for a burst of requests
// and is given back when the socket was free for a moment, when the agent is destroyed, and when the process ends.
// All else is Node's own agent. What an exchange does to a session is judged by http-lease.ts.
import type { ClientRequest, RequestOptions } from 'node:http';
import https from 'node:https';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { TlshubError } from '../errors.ts';
import { connect, type ShareableConnectionOptions } from './connect.ts';
import { HttpLease } from './http-lease.ts';
import { SharedSocket } from './shared-socket.ts';
import { resolveSharedOptions, type SharedOptions } from './sharing-options.ts';

/** Options of {@link Agent}: those of https.Agent (`keepAlive` is always true) and two more. */
export interface AgentOptions extends https.AgentOptions {
  /** As for `connect`, without a name; a request's own `shared` wins (true). */
  shared?: boolean | SharedOptions;
  /** Milliseconds that a free session stays with this process before it goes back (100). */
  releaseAfter?: number;
}

/** What the constructor of an agent has found out. */
export interface AgentSettings {
  /** `shared` of a connection for whose request nobody gave one. */
  shared(options: RequestOptions): boolean | SharedOptions;
  releaseAfterMs: number;
  /** False when connections in the process are not to be kept after their request. */
  keepsInProcess: boolean;
}

/** Members of Node's agents that are not in their documentation (lib/_http_agent.js, the same from 20 to 26). */
interface AgentInternals {
  addRequest(request: ClientRequest, ...options: unknown[]): void;
  _getSession(key: string): Buffer | undefined;
  _cacheSession(key: string, session: Buffer): void;
  _evictSession(key: string): void;
}

type ConnectionOptions = RequestOptions & ShareableConnectionOptions & { _agentKey?: string };
type OnCreated = (error: Error | null, stream: Duplex) => void;

const DEFAULT_RELEASE_AFTER_MS = 100;
const MAX_TIMER_MS = 0x7fffffff;

const settingsByAgent = new WeakMap<object, AgentSettings>();

const NodeAgent = https.Agent as unknown as new (
  options?: https.AgentOptions,
) => https.Agent & AgentInternals;

/** An https.Agent that leases shared sessions and gives them back at response boundaries. */
export class Agent extends NodeAgent {
  /**
   * Throws ERR_TLSHUB_INVALID_OPTION for a wrong `shared` or `releaseAfter`, and as https.Agent does.
   * @param options as https.Agent takes them
   */
  constructor(options?: AgentOptions | null) {
    const { shared = () => true, releaseAfterMs } = agentSettings(options);
    super({ ...nodeOptions(options), keepAlive: true });
    adoptAgent(this, { shared, releaseAfterMs, keepsInProcess: true });
  }

  override getName(options?: RequestOptions & { shared?: unknown }): string {
    const name = super.getName(options);
    // A socket that was asked for with one `shared` must not serve a request with another.
    return options?.shared === undefined ? name : `${name}:shared=${JSON.stringify(options.shared)}`;
  }

  override addRequest(request: ClientRequest, ...options: unknown[]): void {
    request.once('socket', requestOnSocket);
    super.addRequest(request, ...options);
  }

  override createConnection(...args: unknown[]): Duplex | null | undefined {
    const settings = settingsByAgent.get(this);
    const [options, callback] = connectionArguments(args);
    // Agents of other libraries borrow this method (agentkeepalive); and what goes through a proxy is Node's affair.
    if (settings === undefined || goesThroughProxy(this)) return super.createConnection(options, callback);
    const shared = options.shared ?? settings.shared(options);
    checkShared(shared);
    const socket = connect({ ...options, shared } as ShareableConnectionOptions) as unknown;
    if (socket instanceof SharedSocket) {
      new HttpLease(socket);
    } else if (options._agentKey !== undefined && !isCheckedPerRequest(options)) {
      resumeSessions(this, socket as TLSSocket, options._agentKey);
    }
    markAsChecked(options, socket as object);
    return socket as Duplex;
  }

  override keepSocketAlive(socket: Duplex): boolean {
    const settings = settingsByAgent.get(this);
    const lease = HttpLease.of(socket);
    if (
      settings === undefined ||
      lease === undefined ||
      (socket as unknown as SharedSocket).localTls !== undefined
    ) {
      return settings?.keepsInProcess !== false && (super.keepSocketAlive(socket) as unknown as boolean);
    }
    if (lease.drains) return false;
    if (isCheckedPerRequest(socket)) {
      // Node keeps no socket whose peer was judged by one request only; the next lease is judged anew.
      lease.release();
      return false;
    }
    if (!(super.keepSocketAlive(socket) as unknown as boolean)) return false;
    lease.releaseAfter(settings.releaseAfterMs);
    return true;
  }

  override reuseSocket(socket: Duplex, request: ClientRequest): void {
    HttpLease.of(socket)?.keep();
    super.reuseSocket(socket, request);
  }

  /** Closes all sockets, as of any agent; sessions that no request uses go back warm. */
  override destroy(): void {
    for (const socket of Object.values(this.freeSockets).flat()) {
      if (socket !== undefined) HttpLease.of(socket)?.release();
    }
    super.destroy();
  }
}

/** The options that https.Agent is to see; it would hand ours on to each connection. */
export function nodeOptions(options: AgentOptions | null | undefined): https.AgentOptions {
  const { shared: _shared, releaseAfter: _releaseAfter, ...rest } = options ?? {};
  return rest;
}

/**
 * Checks the options of {@link AgentOptions} that are not of https.Agent; `shared` is absent where they say nothing.
 * Throws ERR_TLSHUB_INVALID_OPTION.
 */
export function agentSettings(
  options: AgentOptions | null | undefined,
): Pick<AgentSettings, 'releaseAfterMs'> & Partial<AgentSettings> {
  const { shared, releaseAfter } = options ?? {};
  checkShared(shared);
  return {
    releaseAfterMs: checkReleaseAfter(releaseAfter),
    ...(shared !== undefined && { shared: () => shared }),
  };
}

/** Makes an object that https.Agent has initialised an agent of ours. */
export function adoptAgent(agent: https.Agent, settings: AgentSettings): void {
  settingsByAgent.set(agent, settings);
}

/** Checks `shared`: HTTP requests of several processes cannot go into one named session. */
function checkShared(shared: unknown): void {
  if (resolveSharedOptions(shared)?.named === undefined) return;
  throw new TlshubError(
    'ERR_TLSHUB_INVALID_OPTION',
    '"shared.name" is for tls.connect: an agent leases sessions of the pool',
  );
}

/** Checks `releaseAfter`. Throws ERR_TLSHUB_INVALID_OPTION. */
function checkReleaseAfter(value: unknown = DEFAULT_RELEASE_AFTER_MS): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > MAX_TIMER_MS) {
    throw new TlshubError(
      'ERR_TLSHUB_INVALID_OPTION',
      `"releaseAfter" must be a whole number of milliseconds from 0 to ${MAX_TIMER_MS}`,
    );
  }
  return value;
}

function requestOnSocket(this: ClientRequest, socket: Duplex): void {
  HttpLease.of(socket)?.begin(this);
}

/** (options[, callback]), or (port[, host][, options][, callback]), as https.Agent takes them. */
function connectionArguments(args: readonly unknown[]): [ConnectionOptions, OnCreated | undefined] {
  const last = args.at(-1);
  const callback = typeof last === 'function' ? (last as OnCreated) : undefined;
  const options = args.slice(0, 3).find((arg) => typeof arg === 'object' && arg !== null) as
    | ConnectionOptions
    | undefined;
  const [port, host] = args;
  if (port === options && options !== undefined) return [options, callback];
  const address = { ...(typeof port === 'number' && { port }), ...(typeof host === 'string' && { host }) };
  return [{ ...options, ...address }, callback];
}

/** Resumes and remembers TLS sessions of this process, as https.Agent does; the daemon does it for shared ones. */
function resumeSessions(agent: AgentInternals, socket: TLSSocket, key: string): void {
  const session = agent._getSession(key);
  if (session !== undefined)
    (socket as TLSSocket & { setSession(session: Buffer): void }).setSession(session);
  socket.on('session', (next) => agent._cacheSession(key, next));
  socket.once('close', (hadError) => {
    if (hadError) agent._evictSession(key);
  });
}

/** The symbols by which Node marks a request that brought its own checkServerIdentity, and the socket made for it. */
function checkMark(marked: object): symbol | undefined {
  return Object.getOwnPropertySymbols(marked).find(
    (symbol) => symbol.description === 'per-request checkServerIdentity',
  );
}

function isCheckedPerRequest(marked: object): boolean {
  return checkMark(marked) !== undefined;
}

function markAsChecked(options: object, socket: object): void {
  const mark = checkMark(options);
  if (mark !== undefined) Object.assign(socket, { [mark]: true });
}

/** True when the agent was made with the settings of a proxy (`proxyEnv`, `--use-env-proxy`). */
function goesThroughProxy(agent: object): boolean {
  const symbol = Object.getOwnPropertySymbols(agent).find((own) => own.description === 'kProxyConfig');
  return symbol !== undefined && Boolean(Reflect.get(agent, symbol));
}
