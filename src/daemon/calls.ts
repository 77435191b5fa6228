// What the calls of a link do: one handler for each, in one table. A handler answers the fields of its reply, or
// throws the error that the reply carries. A process reaches its own lanes only; sessions are listed per uid.
import { messageOf, TlshubError } from '../errors.ts';
import type { LinkCallOf, linkCalls } from '../protocol/messages.ts';
import { looksLikeHandle } from '../protocol/session-name.ts';
import type { BlobStore } from './blob-store.ts';
import type { DaemonConfig } from './config.ts';
import type { ReloadReport } from './contexts/contexts.ts';
import type { EndpointChanges } from './endpoint/configured-endpoints.ts';
import { ENDPOINT_CALL_HANDLERS } from './endpoint/endpoint-calls.ts';
import type { Endpoints } from './endpoint/endpoints.ts';
import type { Handles } from './handles.ts';
import type { Lease } from './lease.ts';
import type { LinkPeer } from './link-peer.ts';
import type { Logger } from './log.ts';
import type { CommandRunner } from './named/command-runner.ts';
import { FramedHolder } from './named/framed-holder.ts';
import type { NamedOptions, NamedSession } from './named/named-session.ts';
import type { Names } from './named/names.ts';
import { Parking } from './named/parking.ts';
import type { Pool } from './pool.ts';
import { Relay } from './relay.ts';
import type { Groups } from './server/groups.ts';
import { SERVER_CALL_HANDLERS } from './server/server-calls.ts';
import type { Session } from './session.ts';
import type { SessionTable } from './session-table.ts';
import type { NameClaims } from './shards/name-claims.ts';
import { SHARD_CALL_HANDLERS } from './shards/shard-calls.ts';
import type { ShardPlace } from './shards/shard-place.ts';
import { applySocketSettings } from './socket-settings.ts';
import { describeSession, type StatusReport } from './status.ts';

/** What a reload has changed. */
export interface ConfigurationChanges extends ReloadReport {
  readonly endpoints: EndpointChanges;
}

/** What the handlers work on. */
export interface CallServices {
  table: SessionTable;
  pool: Pool;
  handles: Handles;
  blobs: BlobStore;
  names: Names;
  groups: Groups;
  endpoints: Endpoints;
  runner: CommandRunner;
  log: Logger;
  config: DaemonConfig;
  place: ShardPlace;
  claims: NameClaims;
  /** The link of a process, by the id of its hello. */
  linkOf(processId: string): LinkPeer | undefined;
  status(): StatusReport;
  /** Reads the configuration file again. Rejects with ERR_TLSHUB_CONFIG. */
  reload(): Promise<ConfigurationChanges>;
  /** Begins the end of the daemon; answers how many milliseconds lanes may run on. */
  drain(deadlineMs: number | undefined): number;
}

type CallName = Exclude<keyof typeof linkCalls, 'hello'>;
type Handler<Name extends CallName> = (
  services: CallServices,
  link: LinkPeer,
  call: LinkCallOf<Name>,
) => object | Promise<object>;

/** The handlers by call. */
export const CALL_HANDLERS: { readonly [Name in CallName]: Handler<Name> } = {
  ...SERVER_CALL_HANDLERS,
  ...ENDPOINT_CALL_HANDLERS,
  ...SHARD_CALL_HANDLERS,

  async release({ pool, handles, names }, link, call) {
    const lease = leaseOf(link, call.lane);
    if (lease instanceof FramedHolder) {
      await lease.release(call.sent, call.received);
      return { pooled: true };
    }
    const relay = relayOf(link, call.lane);
    const doubt = await relay.release(call.sent, call.received);
    if (doubt !== undefined) return { pooled: false, reason: doubt };
    const { session } = relay;
    handles.revoke(session);
    if (session.futureName !== undefined) {
      try {
        names.refuseTaken(session.uid, session.futureName.name);
      } catch (error) {
        // Another session got the name since; nobody could reach this one.
        const taken = messageOf(error);
        session.close(taken, 'orderly');
        return { pooled: false, reason: taken };
      }
      names.adopt(session, session.futureName.name, plainNamed(session.futureName.lingerMs));
      return { pooled: true };
    }
    const reason = pool.giveBack(session);
    return reason === undefined ? { pooled: true } : { pooled: false, reason };
  },

  async detach({ handles }, link, call) {
    const lease = leaseOf(link, call.lane);
    if (lease instanceof FramedHolder) {
      const { session } = lease;
      await leaveAway(lease, call.sent, call.received ?? lease.acknowledgedOffset);
      return { delivered: 0, handle: handles.issue(session) };
    }
    return { delivered: await relayOf(link, call.lane).stop(call.sent) };
  },

  async detached({ table, handles }, link, call) {
    const relay = relayOf(link, call.lane);
    await relay.takeBack(call.unread);
    table.move(relay.session, 'detached');
    return { handle: handles.issue(relay.session) };
  },

  commit(_services, link, call) {
    framedOf(link, call.lane).commit(call.offset);
    return {};
  },

  setState(_services, link, call) {
    framedOf(link, call.lane).setState(Buffer.from(call.state, 'base64'), true);
    return {};
  },

  async setName({ names, claims, config }, link, call) {
    const give = () => {
      const lease = leaseOf(link, call.lane);
      const lingerMs = call.linger ?? config.lingerMs;
      if (lease instanceof FramedHolder) {
        names.rename(lease.named, call.name);
        if (call.linger !== undefined) lease.named.options.lingerMs = call.linger;
      } else {
        names.refuseTaken(link.identity.uid, call.name);
        lease.session.futureName = { name: call.name, lingerMs };
      }
    };
    const { session } = leaseOf(link, call.lane);
    if (claims.isForeign(call.name)) {
      if (session.named?.name !== call.name) names.refuseTaken(link.identity.uid, call.name);
      await claims.claim(session, call.name, give);
    } else {
      give();
      claims.release(session);
    }
    return {};
  },

  async park(services, link, call) {
    const { names, runner, handles, log, config } = services;
    const named = await sessionToPark(services, link, call);
    named.refuseParkWhileBusy();
    if (call.state !== undefined) named.state = Buffer.from(call.state, 'base64');
    const { run, cwd, stdio, timeout: timeoutMs } = call;
    const order = { run, cwd, stdio, timeoutMs };
    named.park(new Parking(named, order, { runner, handles, log, directory: config.directory }));
    return { name: named.name, parked: names.parkedCount };
  },

  refuse({ pool }, link, call) {
    const lease = leaseOf(link, call.lane);
    pool.refuse(lease.session);
    // Who refuses its peer says nothing more.
    if (lease instanceof FramedHolder) lease.holderOnEnd('abrupt');
    return {};
  },

  put({ blobs }, link, call) {
    blobs.put(link, call);
    return {};
  },

  set(_services, link, call) {
    const { session } = leaseOf(link, call.lane);
    applySocketSettings(session.tls, call);
    if (call.maxSendFragment !== undefined) {
      session.tls.setMaxSendFragment(call.maxSendFragment);
      session.tainted = 'its holder set the fragment size';
    }
    if (call.disableRenegotiation === true) {
      session.tls.disableRenegotiation();
      session.tainted = 'its holder disabled renegotiation';
    }
    return {};
  },

  async renegotiate(_services, link, call) {
    const { session } = leaseOf(link, call.lane);
    session.tainted = 'its holder renegotiated';
    const { rejectUnauthorized, requestCert } = call;
    await new Promise<void>((resolve, reject) => {
      const started = session.tls.renegotiate({ rejectUnauthorized, requestCert }, (error) => {
        if (error) reject(error);
        else resolve();
      });
      if (started === false) reject(new TlshubError('ERR_TLSHUB_UNSUPPORTED', 'the session has ended'));
    });
    return {};
  },

  export({ linkOf }, link, call) {
    // The call blocks its process, so it comes on a link of its own; the process id, which only that process knows,
    // says whose lane is meant.
    const holder = linkOf(call.process);
    if (holder === undefined || holder.identity.uid !== link.identity.uid)
      throw new TlshubError('ERR_TLSHUB_NOT_OWNER');
    const { tls } = leaseOf(holder, call.lane).session;
    const context = call.context === null ? undefined : Buffer.from(call.context, 'base64');
    // Without a context the argument must be absent: RFC 5705 tells "no context" from "an empty one".
    const material =
      context === undefined
        ? (tls.exportKeyingMaterial as (length: number, label: string) => Buffer)(call.length, call.label)
        : tls.exportKeyingMaterial(call.length, call.label, context);
    return { material: material.toString('base64') };
  },

  sessions(services, link) {
    const own = listedSessions(services).filter((session) => session.uid === link.identity.uid);
    return { sessions: own.map((session) => describeSession(session)) };
  },

  inspect(services, link, call) {
    return { session: describeSession(ownSession(services, link, call.session), 'in full') };
  },

  close(services, link, call) {
    const session = ownSession(services, link, call.session);
    const error = new TlshubError('ERR_TLSHUB_CLOSED', 'closed by the operator');
    // What has ended already, and is kept for its unread bytes, is given up.
    if (session.state === 'closed') session.named?.close('closed by the operator', error);
    else session.close('closed by the operator', 'abrupt', error);
    return {};
  },

  status({ status }) {
    return { status: status() };
  },

  async reload({ reload }) {
    return { ...(await reload()) };
  },

  drain({ drain }, _link, call) {
    return { deadline: drain(call.deadline) };
  },
};

function leaseOf(link: LinkPeer, lane: number): Lease {
  const lease = link.leaseOf(lane);
  if (lease === undefined || lease.over) throw new TlshubError('ERR_TLSHUB_NOT_LEASED');
  return lease;
}

function relayOf(link: LinkPeer, lane: number): Relay {
  const lease = leaseOf(link, lane);
  if (!(lease instanceof Relay))
    throw new TlshubError('ERR_TLSHUB_PROTOCOL', 'the lane of this call is framed');
  return lease;
}

function framedOf(link: LinkPeer, lane: number): FramedHolder {
  const lease = leaseOf(link, lane);
  if (!(lease instanceof FramedHolder))
    throw new TlshubError('ERR_TLSHUB_PROTOCOL', 'the lane of this call is raw');
  return lease;
}

/** The session to park that a handle or a name means; one that was handed over raw gets a life of its own. */
function unheldSession(
  { handles, names, config }: CallServices,
  link: LinkPeer,
  handleOrName: string,
): NamedSession {
  const { uid } = link.identity;
  if (!looksLikeHandle(handleOrName)) return names.get(uid, handleOrName);
  const known = handles.peek(handleOrName);
  const session = known?.named?.session.uid === uid ? known : handles.resolve(handleOrName, uid);
  // A refusal must not cost the handle.
  session.named?.refuseParkWhileBusy();
  handles.revoke(session);
  return session.named ?? names.adopt(session, null, plainNamed(config.lingerMs));
}

/** The holder leaves its session to somebody by a handle or to a command; a server must not give it to a worker. */
async function leaveAway(holder: FramedHolder, sent: number, received: number): Promise<void> {
  const { session } = holder;
  session.away = true;
  try {
    await holder.release(sent, received);
  } catch (error) {
    session.away = false;
    throw error;
  }
}

/** What a session is that got its name later: one holder at a time. */
function plainNamed(lingerMs: number): NamedOptions {
  return { mode: 'exclusive', messages: 'chunk', lingerMs };
}

/** Where a `park` call takes its session from; a lane ends here when the session can be parked, and only then. */
async function sessionToPark(
  services: CallServices,
  link: LinkPeer,
  { handle, lane, sent, received }: LinkCallOf<'park'>,
): Promise<NamedSession> {
  if (handle !== undefined && lane === undefined) return unheldSession(services, link, handle);
  if (handle !== undefined || lane === undefined || sent === undefined || received === undefined)
    throw new TlshubError('ERR_TLSHUB_INVALID_CALL', 'park: a handle, or a lane with its counts');
  const holder = framedOf(link, lane);
  holder.named.refuseParkWhileBusy(holder);
  await leaveAway(holder, sent, received);
  return holder.named;
}

/** The open sessions, and those that have ended and still hold something for a reader. */
function listedSessions({ table, names }: CallServices): Session[] {
  const ended = [...names.all()].map(({ session }) => session).filter(({ state }) => state === 'closed');
  return [...table.all(), ...ended];
}

function ownSession(services: CallServices, link: LinkPeer, id: string): Session {
  const session = services.table.get(id) ?? listedSessions(services).find((listed) => listed.id === id);
  if (session?.uid !== link.identity.uid)
    throw new TlshubError('ERR_TLSHUB_SESSION_UNKNOWN', `no session ${id}`);
  return session;
}
