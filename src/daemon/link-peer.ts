// The daemon's end of one link: greets, dispatches calls through one table, keeps the lanes of the process, and says
// when the process is gone. What the calls do to sessions is in calls.ts.

import type { Socket } from 'node:net';
import { codeOf, TlshubError } from '../errors.ts';
import { MessageConnection } from '../link/message-connection.ts';
import { TurnoverMap } from '../link/turnover.ts';
import { PROTOCOL_VERSION } from '../protocol/limits.ts';
import {
  type LinkCall,
  type LinkCallOf,
  parseEvent,
  parseLinkCall,
  type WireEvent,
} from '../protocol/messages.ts';
import { encodeError } from '../protocol/wire-error.ts';
import { VERSION } from '../version.ts';
import type { Abandonment } from './abandonment.ts';
import { CALL_HANDLERS, type CallServices } from './calls.ts';
import type { Lease } from './lease.ts';
import type { Logger } from './log.ts';
import type { Trunk } from './server/trunk.ts';

/** Who connected: the uid is authority, the pid is for the log. */
export interface PeerIdentity {
  uid: number;
  pid: number | null;
}

interface LinkPeerOptions {
  socket: Socket;
  identity: PeerIdentity;
  services: CallServices;
  log: Logger;
  /** The process has said its id. Throws when another link has the same. */
  onHello(link: LinkPeer): void;
  /** Its application has answered a question. */
  onAnswer(link: LinkPeer, answer: Extract<WireEvent, { event: 'answer' }>): void;
  /** It has said something. */
  onMessage(link: LinkPeer): void;
  onClose(link: LinkPeer): void;
}

/** One process that is linked to the daemon. */
export class LinkPeer {
  readonly identity: PeerIdentity;
  /** Leases that the process holds, by lane number. */
  readonly leases = new TurnoverMap<number, Lease>();
  /** Lanes of the process whose request is being served, by number; aborted when the process is gone. */
  readonly openings = new TurnoverMap<number, Abandonment>();
  /** The connection for the sessions of its servers. */
  trunk: Trunk | undefined;
  processId = '';
  /** The first of several daemon processes looks after this one by this link. */
  supervises = false;
  closed = false;
  readonly #options: LinkPeerOptions;
  readonly #connection: MessageConnection;

  constructor(options: LinkPeerOptions) {
    this.#options = options;
    this.identity = options.identity;
    this.#connection = new MessageConnection(options.socket, {
      connectionOnMessage: (message) => this.#receive(message),
      connectionOnFault: (reason) => this.#sayWhy(reason),
      connectionOnClose: (reason) => this.#close(reason),
    });
  }

  /** The lease of a lane. Who speaks of a lane that it was offered has taken it, though that word may come later. */
  leaseOf(lane: number): Lease | undefined {
    if (!this.leases.has(lane)) this.trunk?.take(lane, false);
    return this.leases.get(lane);
  }

  /** Takes the bytes that came with the connection's first line. */
  receive(bytes: Buffer): void {
    this.#connection.receive(bytes);
  }

  /** Bytes of messages that the process has not taken yet. */
  get unsentBytes(): number {
    return this.#connection.unsentBytes;
  }

  /** Sends an event. */
  send(event: WireEvent): void {
    this.#connection.send(event);
  }

  /** The process has said something, here or on its trunk. */
  showSign(): void {
    this.#options.onMessage(this);
  }

  /** Ends the link and says why; its leases end as if the process had died. */
  close(reason: Error): void {
    this.#sayWhy(reason);
    this.#connection.close(reason);
  }

  #receive(message: Record<string, unknown>): void {
    this.showSign();
    if ('event' in message) {
      this.#receiveEvent(message);
      return;
    }
    const { id } = message;
    if (typeof id !== 'number' || !Number.isSafeInteger(id) || id < 1) {
      throw new TlshubError('ERR_TLSHUB_PROTOCOL', 'a call carries no id');
    }
    let call: LinkCall;
    try {
      call = parseLinkCall(message);
    } catch (error) {
      this.#refuse(id, error as Error);
      if (this.processId === '') throw error;
      return;
    }
    if (call.call === 'hello') this.#hello(call);
    else if (this.processId === '')
      throw new TlshubError('ERR_TLSHUB_PROTOCOL', 'the first message is not hello');
    else void this.#answer(call);
  }

  #hello(call: LinkCallOf<'hello'>): void {
    try {
      if (call.protocol !== PROTOCOL_VERSION) throw versionMismatch(call.protocol, call.version);
      if (this.processId !== '') throw new TlshubError('ERR_TLSHUB_PROTOCOL', 'hello was said before');
      this.processId = call.process;
      this.#options.onHello(this);
    } catch (error) {
      this.#refuse(call.id, error as Error);
      throw error;
    }
    this.#connection.send({
      reply: call.id,
      rc: 1,
      protocol: PROTOCOL_VERSION,
      version: VERSION,
      generation: this.#options.services.handles.generation,
      pid: process.pid,
    });
  }

  async #answer(call: Exclude<LinkCall, { call: 'hello' }>): Promise<void> {
    try {
      const handler = CALL_HANDLERS[call.call] as (typeof CALL_HANDLERS)['status'];
      const fields = await handler(this.#options.services, this, call as LinkCallOf<'status'>);
      this.#connection.send({ reply: call.id, rc: 1, ...fields });
    } catch (error) {
      this.#refuse(call.id, error as Error);
    }
  }

  #refuse(id: number, error: Error): void {
    // Who lacks a CA list is sent it, and asks again.
    const level = codeOf(error) === 'ERR_TLSHUB_BLOB_MISSING' ? 'debug' : 'warn';
    this.#options.log.once(
      `call ${codeOf(error)}`,
      level,
      { ...this.identity, reason: error.message },
      'a call was refused',
    );
    this.#connection.send({ reply: id, rc: -1, error: encodeError(error) });
  }

  /** The closing line (PROTOCOL.md): the last one of a connection that the daemon ends. */
  #sayWhy(reason: Error): void {
    this.#connection.send({ rc: -1, error: encodeError(reason) });
  }

  #receiveEvent(message: Record<string, unknown>): void {
    if (this.processId === '') throw new TlshubError('ERR_TLSHUB_PROTOCOL', 'the first message is not hello');
    const event = parseEvent(message);
    if (event.event === 'answer') {
      this.#options.onAnswer(this, event);
      return;
    }
    if (event.event !== 'lane-end')
      throw new TlshubError('ERR_TLSHUB_PROTOCOL', `${event.event} comes from the daemon`);
    const lease = this.leases.get(event.lane);
    if (lease !== undefined) lease.holderOnEnd(event.rc === 0 ? 'clean' : 'abrupt');
    // Both ends can end a lane at the same time; a wrapper that ends it for good may wait for our last word.
    else if (event.rc === -1) this.send({ event: 'lane-end', lane: event.lane, rc: -1, bytes: 0 });
  }

  #close(reason: Error | undefined): void {
    this.closed = true;
    if (reason instanceof TlshubError && reason.code !== 'ERR_TLSHUB_DRAINING') {
      this.#options.log.once(
        `link ${reason.code}`,
        'warn',
        { ...this.identity, reason: reason.message },
        'a link was closed',
      );
    }
    for (const opening of this.openings.values()) opening.abort();
    for (const lease of [...this.leases.values()]) lease.holderOnGone();
    this.trunk?.linkOnClose();
    this.#options.onClose(this);
  }
}

/**
 * The error for a process that speaks another version of the protocol.
 * @param theirs version it asked for
 * @param release version of its package, when it said one
 */
export function versionMismatch(theirs: number, release = 'unknown'): TlshubError {
  return new TlshubError(
    'ERR_TLSHUB_VERSION',
    `the daemon (${VERSION}) speaks protocol ${PROTOCOL_VERSION}, the wrapper (${release}) ${theirs}; ` +
      'run "tlshub stop" of the older installation, the next call starts the right daemon',
  );
}
