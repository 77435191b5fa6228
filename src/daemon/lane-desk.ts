// The lane desk: serves the calls that open lanes. It finds the link of the asking process, gets the session from the
// pool or by its handle, writes the reply line, and starts the relay.
import type { Socket } from 'node:net';
import { codeOf, TlshubError } from '../errors.ts';
import { PROTOCOL_VERSION } from '../protocol/limits.ts';
import { encodeLine } from '../protocol/line-codec.ts';
import { type LaneCall, type LaneReply, parseLaneCall } from '../protocol/messages.ts';
import { encodeError } from '../protocol/wire-error.ts';
import type { Handles } from './handles.ts';
import { Lane } from './lane.ts';
import { type LinkPeer, type PeerIdentity, versionMismatch } from './link-peer.ts';
import type { Logger } from './log.ts';
import type { Leased, Pool } from './pool.ts';
import { Relay } from './relay.ts';
import type { Session } from './session.ts';
import type { SessionTable } from './session-table.ts';
import { resetSocketSettings } from './socket-settings.ts';
import { ticketName } from './ticket-cache.ts';
import { type OnOpenEvent, OpenFailure, type Upstream } from './upstream.ts';

interface LaneDeskOptions {
  helloTimeoutMs: number;
  log: Logger;
  table: SessionTable;
  pool: Pool;
  handles: Handles;
  upstream: Upstream;
  /** The link with this process id, when its hello has come or comes within the time a hello may take. */
  awaitLink(processId: string, timeoutMs: number): Promise<LinkPeer | undefined>;
}

/** Serves lanes; one for the daemon. */
export class LaneDesk {
  readonly #options: LaneDeskOptions;
  readonly #relays = new Set<Relay>();
  /** Told when a session is no longer leased, for those who wait for it. */
  readonly #leaseWaiters = new Map<Session, Set<() => void>>();

  constructor(options: LaneDeskOptions) {
    this.#options = options;
  }

  /** Lanes with a session on them. */
  get size(): number {
    return this.#relays.size;
  }

  /** The leases now. */
  relays(): Iterable<Relay> {
    return this.#relays;
  }

  /**
   * Serves one lane from its first line on.
   * @param socket paused; bytes that followed the line are back in it
   */
  async serve(socket: Socket, identity: PeerIdentity, message: Record<string, unknown>): Promise<void> {
    const abandoned = new AbortController();
    const socketOnGone = () => abandoned.abort();
    socket.once('close', socketOnGone);
    let leave = () => {};
    try {
      const call = parseLaneCall(message);
      if (call.protocol !== PROTOCOL_VERSION) throw versionMismatch(call.protocol);
      const link = await this.#linkOf(call, identity);
      if (link !== undefined) leave = this.#enter(link, call.lane ?? 0, socket, abandoned);
      const leased =
        call.call === 'lease'
          ? await this.#lease(identity.uid, call, socket, abandoned.signal)
          : await this.#attach(identity.uid, call, abandoned.signal);
      this.#open(socket, identity, link, call, leased);
    } catch (error) {
      if (abandoned.signal.aborted) socket.destroy();
      else this.#refuse(socket, identity, error as Error);
    } finally {
      leave();
      socket.off('close', socketOnGone);
    }
  }

  /** Reserves the lane's number until the reply; nobody waits for the reply once the process or the lane has ended. */
  #enter(link: LinkPeer, lane: number, socket: Socket, abandoned: AbortController): () => void {
    const socketOnEnd = () => abandoned.abort();
    link.openings.set(lane, abandoned);
    socket.once('end', socketOnEnd);
    if (link.closed || socket.readableEnded) abandoned.abort();
    return () => {
      link.openings.delete(lane);
      socket.off('end', socketOnEnd);
    };
  }

  async #linkOf(call: LaneCall, identity: PeerIdentity): Promise<LinkPeer | undefined> {
    if (call.process === undefined) return undefined;
    if (call.lane === undefined)
      throw new TlshubError('ERR_TLSHUB_INVALID_CALL', `${call.call}: "lane" is missing`);
    const link = await this.#options.awaitLink(call.process, this.#options.helloTimeoutMs);
    if (link === undefined || link.identity.uid !== identity.uid) {
      throw new TlshubError('ERR_TLSHUB_PROTOCOL', 'the lane names a process that has no link');
    }
    if (link.relays.has(call.lane) || link.openings.has(call.lane))
      throw new TlshubError('ERR_TLSHUB_PROTOCOL', 'the lane number is in use');
    return link;
  }

  async #lease(
    uid: number,
    { key, wait: waitMs }: LaneCall & { call: 'lease' },
    socket: Socket,
    abandoned: AbortSignal,
  ): Promise<Leased> {
    if (!this.#options.upstream.knowsTrust(key)) throw new TlshubError('ERR_TLSHUB_BLOB_MISSING');
    const onOpenEvent: OnOpenEvent = ([name, args]) => {
      if (!abandoned.aborted) socket.write(encodeLine({ event: 'open', name, args }));
    };
    return this.#options.pool.lease({ uid, key, waitMs, abandoned, onOpenEvent });
  }

  async #attach(uid: number, call: LaneCall & { call: 'attach' }, abandoned: AbortSignal): Promise<Leased> {
    const { handles, table } = this.#options;
    const deadlineMs = performance.now() + call.wait;
    for (;;) {
      try {
        const session = handles.resolve(call.handle, uid);
        if (abandoned.aborted) throw new TlshubError('ERR_TLSHUB_NOT_LEASED');
        table.move(session, 'leased');
        session.leases += 1;
        return { session, reused: true };
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
  #leaseEnd(session: Session, timeoutMs: number, abandoned: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const waiters = this.#leaseWaiters.get(session) ?? new Set();
      this.#leaseWaiters.set(session, waiters);
      const done = () => {
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

  #open(
    socket: Socket,
    identity: PeerIdentity,
    link: LinkPeer | undefined,
    call: LaneCall,
    { session, reused }: Leased,
  ): void {
    const lane = new Lane(socket, { ...identity, link, lane: call.lane ?? 0 });
    session.holder = { pid: identity.pid, uid: identity.uid };
    resetSocketSettings(session.tls, call.socket);
    // Who waited for the handshake was told of its events as they came.
    const events = call.call === 'lease' && reused ? [...session.openEvents] : [];
    const reply: LaneReply = { rc: 1, session: session.id, reused, events, tls: session.info };
    socket.write(encodeLine(reply));
    const relay = new Relay(session, lane, (over) => {
      this.#relays.delete(over);
      link?.relays.delete(lane.holder.lane);
      session.tls.off('session', tlsOnSession);
      for (const done of [...(this.#leaseWaiters.get(session) ?? [])]) done();
    });
    const tlsOnSession = (ticket: Buffer) => {
      link?.send({ event: 'ticket', lane: lane.holder.lane, ticket: ticketName(ticket).toString('base64') });
    };
    session.tls.on('session', tlsOnSession);
    this.#relays.add(relay);
    if (link === undefined) return;
    link.relays.set(lane.holder.lane, relay);
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
