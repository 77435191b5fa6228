// The lane desk: serves the calls that open lanes. It finds the link of the asking process, gets the session from the
// pool or by its handle, writes the reply line, and starts the relay.

import type { Socket } from 'node:net';
import { codeOf, TlshubError } from '../errors.ts';
import { TurnoverSet } from '../link/turnover.ts';
import { PROTOCOL_VERSION } from '../protocol/limits.ts';
import { encodeLine, lineText } from '../protocol/line-codec.ts';
import { type LaneCall, type LaneReply, parseLaneCall } from '../protocol/messages.ts';
import { looksLikeHandle } from '../protocol/session-name.ts';
import { encodeError } from '../protocol/wire-error.ts';
import { Abandonment, type AbandonSignal } from './abandonment.ts';
import { contextOf } from './contexts/context-use.ts';
import type { Contexts } from './contexts/contexts.ts';
import type { Handles } from './handles.ts';
import { Lane } from './lane.ts';
import type { Lease } from './lease.ts';
import { type LinkPeer, type PeerIdentity, versionMismatch } from './link-peer.ts';
import type { Logger } from './log.ts';
import { FramedHolder } from './named/framed-holder.ts';
import type { FramedLane } from './named/framed-lane.ts';
import type { NamedSession } from './named/named-session.ts';
import type { Joined, Names } from './named/names.ts';
import { OwnLane } from './named/own-lane.ts';
import type { Leased, Pool } from './pool.ts';
import { Relay } from './relay.ts';
import { ReplyTexts } from './reply-texts.ts';
import { Trunk } from './server/trunk.ts';
import type { TrunkLane } from './server/trunk-lane.ts';
import type { Session } from './session.ts';
import type { SessionTable } from './session-table.ts';
import type { ShardPlace } from './shards/shard-place.ts';
import { resetSocketSettings, type SocketSettings } from './socket-settings.ts';
import { ticketName } from './ticket-cache.ts';
import { type OnOpenEvent, OpenFailure, type Upstream } from './upstream.ts';

type LeaseCall = Extract<LaneCall, { call: 'lease' }>;
type TrunkCall = Extract<LaneCall, { call: 'trunk' }>;
type AttachCall = Extract<LaneCall, { call: 'attach' }>;

interface LaneDeskOptions {
  helloTimeoutMs: number;
  log: Logger;
  table: SessionTable;
  pool: Pool;
  handles: Handles;
  names: Names;
  upstream: Upstream;
  contexts: Contexts;
  place: ShardPlace;
  /** The link with this process id, when its hello has come or comes within the time a hello may take. */
  awaitLink(processId: string, timeoutMs: number): Promise<LinkPeer | undefined>;
}

/** Serves lanes; one for the daemon. */
export class LaneDesk {
  readonly #options: LaneDeskOptions;
  readonly #leases = new TurnoverSet<Lease>();
  readonly #replies = new ReplyTexts();
  /** Told when a session is no longer leased, for those who wait for it. */
  readonly #leaseWaiters = new Map<Session, Set<() => void>>();

  constructor(options: LaneDeskOptions) {
    this.#options = options;
  }

  /** Lanes with a session on them. */
  get size(): number {
    return this.#leases.size;
  }

  /** The leases now. */
  leases(): Iterable<Lease> {
    return this.#leases;
  }

  /**
   * Serves one lane from its first line on.
   * @param socket paused; bytes that followed the line are back in it
   */
  async serve(socket: Socket, identity: PeerIdentity, message: Record<string, unknown>): Promise<void> {
    const abandoned = new Abandonment();
    const socketOnGone = () => abandoned.abort();
    socket.once('close', socketOnGone);
    let leave = () => {};
    try {
      const call = parseLaneCall(message);
      if (call.protocol !== PROTOCOL_VERSION) throw versionMismatch(call.protocol);
      if (call.call === 'trunk') {
        await this.#openTrunk(socket, identity, call);
        return;
      }
      const link = await this.#linkOf(call, identity);
      if (link !== undefined) leave = this.#enter(link, call.lane ?? 0, socket, abandoned);
      const found =
        call.call === 'lease'
          ? await this.#lease(identity.uid, call, socket, abandoned.signal)
          : await this.#attach(identity.uid, call, abandoned.signal);
      const lane = new Lane(socket, { ...identity, link, lane: call.lane ?? 0 });
      if ('named' in found) this.#openFramed(lane, call, found, abandoned.signal);
      else this.#open(lane, call, found);
    } catch (error) {
      if (abandoned.signal.aborted) socket.destroy();
      else this.#refuse(socket, identity, error as Error);
    } finally {
      leave();
      socket.off('close', socketOnGone);
    }
  }

  /** Reserves the lane's number until the reply; nobody waits for the reply once the process or the lane has ended. */
  #enter(link: LinkPeer, lane: number, socket: Socket, abandoned: Abandonment): () => void {
    const socketOnEnd = () => abandoned.abort();
    link.openings.set(lane, abandoned);
    socket.once('end', socketOnEnd);
    if (link.closed || socket.readableEnded) abandoned.abort();
    return () => {
      link.openings.delete(lane);
      socket.off('end', socketOnEnd);
    };
  }

  /**
   * Gives a server's session, which nobody holds, to the worker that took it on its trunk.
   * @param settings of the connection
   */
  openOnTrunk(named: NamedSession, lane: TrunkLane, settings: SocketSettings): void {
    this.#hold(named, lane, settings, () => {});
  }

  async #openTrunk(socket: Socket, identity: PeerIdentity, call: TrunkCall): Promise<void> {
    const link = await this.#linkFor(call.process, identity);
    if (link.trunk !== undefined) throw new TlshubError('ERR_TLSHUB_PROTOCOL', 'the process has a trunk');
    if (socket.destroyed || link.closed) {
      socket.destroy();
      return;
    }
    socket.write(encodeLine({ rc: 1 }));
    link.trunk = new Trunk(socket, link);
  }

  async #linkFor(processId: string, identity: PeerIdentity): Promise<LinkPeer> {
    const link = await this.#options.awaitLink(processId, this.#options.helloTimeoutMs);
    if (link === undefined || link.identity.uid !== identity.uid) {
      throw new TlshubError('ERR_TLSHUB_PROTOCOL', 'the lane names a process that has no link');
    }
    return link;
  }

  async #linkOf(call: LeaseCall | AttachCall, identity: PeerIdentity): Promise<LinkPeer | undefined> {
    if (call.process === undefined) return undefined;
    if (call.lane === undefined)
      throw new TlshubError('ERR_TLSHUB_INVALID_CALL', `${call.call}: "lane" is missing`);
    const link = await this.#linkFor(call.process, identity);
    if (link.leases.has(call.lane) || link.openings.has(call.lane))
      throw new TlshubError('ERR_TLSHUB_PROTOCOL', 'the lane number is in use');
    return link;
  }

  async #lease(
    uid: number,
    call: LeaseCall,
    socket: Socket,
    abandoned: AbandonSignal,
  ): Promise<Leased | Joined> {
    const { key, wait: waitMs, named } = call;
    if (named === undefined) this.#options.place.refuseKey(key);
    const context = contextOf(key, uid, this.#options.contexts);
    if (context === undefined && !this.#options.upstream.knowsTrust(key))
      throw new TlshubError('ERR_TLSHUB_BLOB_MISSING');
    const onOpenEvent: OnOpenEvent = ([name, args]) => {
      if (!abandoned.aborted) socket.write(encodeLine({ event: 'open', name, args }));
    };
    const request = { uid, key, context, waitMs, abandoned, onOpenEvent };
    if (named === undefined) return this.#options.pool.lease(request);
    const { linger: lingerMs, ...rest } = named;
    return this.#options.names.join({ ...request, ...rest, lingerMs });
  }

  async #attach(uid: number, call: AttachCall, abandoned: AbandonSignal): Promise<Leased | Joined> {
    const { handles, table, names, place } = this.#options;
    if (looksLikeHandle(call.handle)) place.refuseHandle(call.handle);
    const named = looksLikeHandle(call.handle)
      ? handles.peek(call.handle)?.named
      : names.get(uid, call.handle);
    if (named !== undefined && named.session.uid === uid) {
      await named.admit(call.wait, abandoned);
      const reused = named.session.leases > 0;
      if (!looksLikeHandle(call.handle)) return { named, reused };
      // A handle is good once; who waited with the same one came too late.
      if (handles.peek(call.handle)?.named !== named) {
        named.dismiss();
        throw new TlshubError('ERR_TLSHUB_HANDLE_UNKNOWN');
      }
      handles.revoke(named.session);
      return { named, reused };
    }
    const deadlineMs = performance.now() + call.wait;
    for (;;) {
      try {
        const session = handles.resolve(call.handle, uid);
        if (abandoned.aborted) throw new TlshubError('ERR_TLSHUB_NOT_LEASED');
        table.move(session, 'leased');
        // A server's session comes to its first worker in this way too.
        const reused = session.leases > 0;
        session.leases += 1;
        return { session, reused };
      } catch (error) {
        const leftMs = deadlineMs - performance.now();
        if (codeOf(error) !== 'ERR_TLSHUB_SESSION_BUSY' || leftMs <= 0) throw error;
        const holder = handles.peek(call.handle);
        if (holder === undefined) throw error;
        await this.#leaseEnd(holder, leftMs, abandoned);
      }
    }
  }

  /** Waits until the session is not leased any more, or the time is over, or nobody wants it. */
  #leaseEnd(session: Session, timeoutMs: number, abandoned: AbandonSignal): Promise<void> {
    return new Promise((resolve) => {
      const waiters = this.#leaseWaiters.get(session) ?? new Set();
      this.#leaseWaiters.set(session, waiters);
      const sinceMs = performance.now();
      const done = () => {
        session.countWait(sinceMs);
        clearTimeout(timer);
        abandoned.removeEventListener('abort', done);
        waiters.delete(done);
        if (waiters.size === 0) this.#leaseWaiters.delete(session);
        resolve();
      };
      const timer = setTimeout(done, timeoutMs);
      abandoned.addEventListener('abort', done);
      waiters.add(done);
    });
  }

  /** A framed lane: the reply says where the stream goes on, frames follow. */
  #openFramed(
    lane: Lane,
    call: LeaseCall | AttachCall,
    { named, reused }: Joined,
    abandoned: AbandonSignal,
  ): void {
    if (abandoned.aborted) {
      named.dismiss();
      throw new TlshubError('ERR_TLSHUB_NOT_LEASED', 'the holder went away before its session was ready');
    }
    const { name, options, session } = named;
    const { id, info, openEvents, bytesToPeer: writtenAt } = session;
    const commit = (call.call === 'lease' ? call.named?.commit : call.commit) ?? 'auto';
    // Who waited for the handshake was told of its events as they came.
    const events = call.call === 'lease' && reused ? [...openEvents] : [];
    this.#hold(named, new OwnLane(lane), call.socket, (resumedAt) => {
      const state = named.state === null ? null : named.state.toString('base64');
      const framed = { name, mode: options.mode, commit, resumedAt, writtenAt, state };
      writeReply(lane.socket, call, { rc: 1, session: id, reused, events, tls: info, framed });
    });
  }

  /** A process has a session that it was admitted to: `tell` says where the stream goes on, if it was not told; frames follow. */
  #hold(
    named: NamedSession,
    lane: FramedLane,
    settings: SocketSettings,
    tell: (resumedAt: number) => void,
  ): void {
    const { session } = named;
    const { link } = lane.holder;
    if (!session.tls.destroyed) resetSocketSettings(session.tls, settings);
    const holder = new FramedHolder(named, lane, (over) => {
      this.#leases.delete(over);
      link?.leases.delete(lane.holder.lane);
    });
    const resumedAt = named.join(holder);
    tell(resumedAt);
    session.leases += 1;
    session.away = false;
    session.home?.sessionOnLeased(session, link);
    this.#leases.add(holder);
    link?.leases.set(lane.holder.lane, holder);
    holder.start(resumedAt);
    named.begin(holder);
    if (link?.closed === true) holder.holderOnGone();
  }

  #open(lane: Lane, call: LeaseCall | AttachCall, { session, reused }: Leased): void {
    const { socket } = lane;
    const { link, pid, uid } = lane.holder;
    session.holder = { pid, uid };
    session.home?.sessionOnLeased(session, link);
    resetSocketSettings(session.tls, call.socket);
    // Who waited for the handshake was told of its events as they came.
    const events = call.call === 'lease' && reused ? [...session.openEvents] : [];
    const reply: LaneReply = { rc: 1, session: session.id, reused, events, tls: session.info };
    if (call.call === 'lease' && reused) socket.write(this.#replies.text(session, reply));
    else writeReply(socket, call, reply);
    const relay = new Relay(session, lane, (over) => {
      this.#leases.delete(over);
      link?.leases.delete(lane.holder.lane);
      session.tls.off('session', tlsOnSession);
      for (const done of [...(this.#leaseWaiters.get(session) ?? [])]) done();
    });
    const tlsOnSession = (ticket: Buffer) => {
      link?.send({ event: 'ticket', lane: lane.holder.lane, ticket: ticketName(ticket).toString('base64') });
    };
    session.tls.on('session', tlsOnSession);
    this.#leases.add(relay);
    if (link === undefined) return;
    link.leases.set(lane.holder.lane, relay);
    if (link.closed) relay.holderOnGone();
  }

  #refuse(socket: Socket, identity: PeerIdentity, error: Error): void {
    const wire = error instanceof OpenFailure ? error.wire : encodeError(error);
    if (error instanceof TlshubError && error.code !== 'ERR_TLSHUB_BLOB_MISSING') {
      this.#options.log.once(
        `lane ${error.code}`,
        'warn',
        { ...identity, reason: error.message },
        'a lane was refused',
      );
    }
    socket.resume();
    const reply: LaneReply = { rc: -1, error: wire };
    socket.end(encodeLine(reply));
    setTimeout(() => socket.destroy(), this.#options.helloTimeoutMs).unref();
  }
}

/** Writes the reply; to who takes a session over, together with the bytes that wait for him already. */
function writeReply(socket: Socket, { call }: LaneCall, reply: LaneReply): void {
  // A client that opens a session hears of it in a turn of its own, before any byte, as with node:tls.
  if (call === 'attach') {
    socket.cork();
    setImmediate(() => socket.uncork());
  }
  socket.write(lineText(reply));
}
