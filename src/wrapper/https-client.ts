// The client's side of `tlshub/https`: where `shared` is asked for, an agent of tlshub; else Node's own functions.
import type { ClientRequest, IncomingMessage } from 'node:http';
import https, { type RequestOptions } from 'node:https';
import { Agent, type AgentOptions } from './agent.ts';
import type { SharedOptions } from './sharing-options.ts';

/** Options of https.request, and whether its session shall be a shared one. */
export type ShareableRequestOptions = RequestOptions & { shared?: boolean | SharedOptions };

type Answer = (response: IncomingMessage) => void;

/** The overloads of https.request and https.get. */
export interface Request {
  (options: ShareableRequestOptions | string | URL, callback?: Answer): ClientRequest;
  (url: string | URL, options: ShareableRequestOptions, callback?: Answer): ClientRequest;
}

/** Of requests that asked to be shared and named no agent. */
let sharingAgent: Agent | undefined;

/** As https.request; `shared` in its options wins over the agent's. Throws as it does, and ERR_TLSHUB_INVALID_OPTION. */
export const request: Request = (...args: unknown[]): ClientRequest =>
  Reflect.apply(https.request, https, withAgent(args)) as ClientRequest;

/** As https.get; see {@link request}. */
export const get: Request = (...args: unknown[]): ClientRequest =>
  Reflect.apply(https.get, https, withAgent(args)) as ClientRequest;

/** https.Agent; made with `shared`, it is an agent of tlshub. Classes that extend it are Node's: extend `tlshub`'s Agent. */
export const HttpsAgent = new Proxy(https.Agent, {
  construct(target, args: [AgentOptions?], newTarget) {
    if (newTarget !== HttpsAgent || !args[0]?.shared) return Reflect.construct(target, args, newTarget);
    return new Agent(args[0]);
  },
  apply(target, self: unknown, args: [AgentOptions?]) {
    if (!(self instanceof target) && args[0]?.shared) return new Agent(args[0]);
    return Reflect.apply(target as never, self, args) as unknown;
  },
}) as typeof https.Agent & (new (options?: AgentOptions) => https.Agent);

function withAgent(args: unknown[]): unknown[] {
  const at = args.findIndex(
    (arg, index) => index < 2 && typeof arg === 'object' && arg !== null && 'shared' in arg,
  );
  const options = args[at] as ShareableRequestOptions | undefined;
  if (!options?.shared || options.agent) return args;
  sharingAgent ??= new Agent();
  const agent = options.agent === false ? new Agent() : sharingAgent;
  return args.with(at, { ...options, agent });
}
