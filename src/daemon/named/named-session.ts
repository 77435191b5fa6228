// A named session: a session with a life of its own. Processes come and go; it keeps every byte that was not consumed,
// opaque state of the application, and, when the connection is gone, how it ended, until somebody has read that or
// `linger` has passed. What a mode means for reading is in its Reading, for writing in the WriteQueue.

import { TlshubError } from '../../errors.ts';
import type { MessageRule } from '../../protocol/message-splitter.ts';
import type { SessionMode } from '../../protocol/session-name.ts';
import type { AbandonSignal } from '../abandonment.ts';
import { keepBytes, startReader, stopReader } from '../direct-bytes.ts';
import type { Occupant, Session } from '../session.ts';
import type { FramedHolder } from './framed-holder.ts';
import type { Parking } from './parking.ts';
import type { Reading } from './reading.ts';
import { StreamReading } from './stream-reading.ts';
import { TurnReading } from './turn-reading.ts';
import { WriteQueue } from './write-queue.ts';

/** What a named session is made with; fixed for its life. */
export interface NamedOptions {
  mode: SessionMode;
  /** Where a message ends, in turn mode. */
  messages: MessageRule;
  /** Milliseconds that it stays without a holder. */
  lingerMs: number;
  /** A holder that destroys its socket ends the session, as on a server; else it only leaves it. */
  endsWithDestroy?: boolean;
}

/** How the connection ended. */
interface Ending {
  clean: boolean;
  error: Error | undefined;
}

/** Whom a named session tells. */
export interface NamedSessionOwner {
  /** The number of holders became zero, or is not zero any more; `held` says which. */
  namedOnHeld(named: NamedSession, held: boolean): void;
  /** Nothing more can come of it: the connection is closed and nobody has anything to read. */
  namedOnOver(named: NamedSession): void;
}

/** A session that belongs to no process. */
export class NamedSession implements Occupant {
  readonly session: Session;
  readonly options: NamedOptions;
  readonly reading: Reading;
  name: string | null;
  state: Buffer | null = null;
  /** When the last holder left; `undefined` while there is one. */
  unheldSinceMs: number | undefined = Date.now();
  readonly #owner: NamedSessionOwner;
  readonly #writes: WriteQueue;
  readonly #holders = new Set<FramedHolder>();
  readonly #waiting: (() => void)[] = [];
  #ending: Ending | undefined;
  /** A holder knows how the session ended. */
  #endingKnown = false;
  #endedByHolder = false;
  #parking: Parking | undefined;
  #over = false;
  /** Somebody was admitted and has not joined yet. */
  #reserved = false;

  /**
   * @param session open; its bytes are this object's business from now on
   * @param name `null` for one that is reached by handle only
   */
  constructor(session: Session, name: string | null, options: NamedOptions, owner: NamedSessionOwner) {
    this.session = session;
    this.name = name;
    this.options = options;
    this.#owner = owner;
    this.reading =
      options.mode === 'turn' ? new TurnReading(options.messages) : new StreamReading(options.mode);
    this.#writes = new WriteQueue(session.tls);
    session.named = this;
    session.occupy(this);
    startReader(session.tls, this.#tlsOnBytes);
    for (const part of session.unread.splice(0)) this.reading.receive(part);
    if (session.peerEnded) this.sessionOnPeerEnd();
    else session.tls.resume();
  }

  /** The processes that hold it now. */
  get holders(): ReadonlySet<FramedHolder> {
    return this.#holders;
  }

  /** Requests that wait until it is free. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Bytes held for readers, or waiting for the peer. */
  get bufferedBytes(): number {
    return this.reading.heldBytes + this.#writes.bytes;
  }

  /** True when the connection is gone. */
  get ended(): boolean {
    return this.#ending !== undefined && this.session.tls.destroyed;
  }

  /**
   * True when there is nothing in it for a process that wants a live session: a holder has ended it for all, or its peer
   * has and all is read. A request for its name opens a new one then.
   */
  get isSpent(): boolean {
    if (this.#over || this.#endedByHolder) return true;
    const gone = this.#ending !== undefined || this.session.tls.destroyed;
    return gone && this.reading.heldBytes === 0 && this.#holders.size === 0;
  }

  /** True when another process cannot hold it now. */
  get busy(): boolean {
    return this.options.mode === 'exclusive' && (this.#holders.size > 0 || this.#reserved);
  }

  /**
   * Waits until it is free; requests are let in in the order in which they came. Rejects with
   * ERR_TLSHUB_SESSION_BUSY, or ERR_TLSHUB_NAME_UNKNOWN when it ends meanwhile.
   * @param waitMs 0 fails at once
   */
  async admit(waitMs: number, abandoned: AbandonSignal): Promise<void> {
    if (abandoned.aborted) throw new TlshubError('ERR_TLSHUB_NOT_LEASED', 'the requester went away');
    if (!this.busy && this.#waiting.length === 0) {
      this.#reserved = true;
      return;
    }
    if (waitMs <= 0) throw new TlshubError('ERR_TLSHUB_SESSION_BUSY');
    const sinceMs = performance.now();
    await new Promise<void>((resolve, reject) => {
      const leave = () => {
        this.session.countWait(sinceMs);
        clearTimeout(timer);
        abandoned.removeEventListener('abort', giveUp);
        const place = this.#waiting.indexOf(enter);
        if (place !== -1) this.#waiting.splice(place, 1);
      };
      const enter = () => {
        leave();
        if (this.#over) {
          reject(new TlshubError('ERR_TLSHUB_NAME_UNKNOWN', 'the session ended'));
          return;
        }
        this.#reserved = true;
        resolve();
      };
      const giveUp = () => {
        leave();
        reject(
          new TlshubError('ERR_TLSHUB_SESSION_BUSY', `another process held the session for ${waitMs} ms`),
        );
      };
      const timer = setTimeout(giveUp, waitMs);
      abandoned.addEventListener('abort', giveUp);
      this.#waiting.push(enter);
    });
  }

  /** Who was admitted does not come after all. */
  dismiss(): void {
    this.#reserved = false;
    this.#waiting[0]?.();
    this.#checkOver();
  }

  /** Lets a holder in that was admitted; answers the offset of the first byte it gets. */
  join(holder: FramedHolder): number {
    this.#reserved = false;
    this.#parking?.cancel();
    this.#parking = undefined;
    this.#holders.add(holder);
    if (this.unheldSinceMs !== undefined) {
      this.unheldSinceMs = undefined;
      this.#owner.namedOnHeld(this, true);
    }
    return this.reading.join(holder);
  }

  /** A holder begins to get bytes. */
  begin(holder: FramedHolder): void {
    this.reading.pump(holder);
    this.#finishHolders();
  }

  /** A holder has left; its unconsumed bytes go to the next. */
  leave(holder: FramedHolder): void {
    if (!this.#holders.delete(holder)) return;
    const { droppedBytes, half } = this.#writes.remove(holder);
    // The next holder goes on behind what the peer gets.
    this.session.bytesToPeer -= droppedBytes;
    this.reading.leave(holder);
    if (half) this.session.close('its holder went away within a write', 'abrupt', halfWrite());
    if (this.#ending !== undefined && holder.knowsEnd) this.#endingKnown = true;
    this.#flow();
    this.#finishHolders();
    if (this.#holders.size > 0) return;
    this.unheldSinceMs = Date.now();
    this.#finishIfDone(holder);
    this.#owner.namedOnHeld(this, false);
    this.#waiting[0]?.();
    this.#checkOver();
  }

  /** The command that waits for the session, when it is parked. */
  get parking(): Parking | undefined {
    return this.#parking;
  }

  /**
   * Throws ERR_TLSHUB_SESSION_BUSY when the session cannot be parked: somebody holds it or waits for it.
   * @param except the holder that wants to park it
   */
  refuseParkWhileBusy(except?: FramedHolder): void {
    const others = this.#holders.size - (except !== undefined && this.#holders.has(except) ? 1 : 0);
    if (others > 0 || this.#reserved || this.#waiting.length > 0)
      throw new TlshubError('ERR_TLSHUB_SESSION_BUSY', 'another process holds the session or waits for it');
    if (this.#parking !== undefined)
      throw new TlshubError('ERR_TLSHUB_SESSION_BUSY', 'the session is parked already');
  }

  /** Parks the session. Throws as {@link refuseParkWhileBusy}. */
  park(parking: Parking): void {
    this.refuseParkWhileBusy();
    this.#parking = parking;
    this.#activateIfDue();
  }

  /** The command is done with; the session lingers. */
  unpark(): void {
    this.#parking?.cancel();
    this.#parking = undefined;
    if (this.#holders.size === 0) this.unheldSinceMs = Date.now();
    this.#checkOver();
  }

  /** Closes the session for good. */
  close(reason: string, error?: TlshubError): void {
    this.session.close(reason, 'orderly', error);
    // Whoever has not read to the end by now is not going to.
    if (this.#holders.size === 0) this.#finishForGood();
  }

  /** The application on one holder has ended the session, for all. */
  holderOnEnd(): void {
    this.#endedByHolder = true;
    this.#writes.whenIdle(() => {
      if (!this.session.tls.writableEnded) this.session.tls.end();
    });
  }

  holderOnWrite(holder: FramedHolder, part: Buffer, complete: boolean): void {
    this.session.countToPeer(part.length, complete);
    this.#writes.add(holder, part, complete);
  }

  holderOnAcknowledge(holder: FramedHolder, offset: number): void {
    this.reading.acknowledge(holder, offset);
    this.holderOnRoom(holder);
  }

  holderOnRoom(holder: FramedHolder): void {
    this.reading.pump(holder);
    this.#flow();
    this.#finishHolders();
  }

  holderOnWant(holder: FramedHolder): void {
    this.reading.want(holder);
    this.#finishHolders();
  }

  sessionOnPeerEnd(): void {
    this.#ending ??= { clean: true, error: undefined };
    this.reading.end();
    this.#finishHolders();
    this.#activateIfDue();
  }

  sessionOnClose(error: Error | undefined): void {
    if (error !== undefined || this.#ending === undefined)
      this.#ending = { clean: error === undefined && this.session.peerEnded, error };
    this.reading.end();
    this.#finishHolders();
    this.#activateIfDue();
    this.#checkOver();
    if (this.#endedByHolder && this.options.endsWithDestroy === true && this.#holders.size === 0)
      this.#finishForGood();
  }

  sessionOnLeave(): void {
    stopReader(this.session.tls);
  }

  readonly #tlsOnBytes = (bytes: Buffer) => {
    this.session.countFromPeer(bytes.length);
    try {
      // They stay until a holder has consumed them.
      this.reading.receive(keepBytes(bytes));
    } catch (error) {
      this.session.close('a message is too long', 'abrupt', error as TlshubError);
      return;
    }
    this.#flow();
    this.#activateIfDue();
  };

  #activateIfDue(): void {
    if (this.#parking === undefined) return;
    if (this.reading.heldBytes > 0) this.#parking.activate('data');
    else if (this.#ending !== undefined)
      this.#parking.activate(this.#ending.error === undefined ? 'close' : 'error');
  }

  /** Reads the connection only while what is held is within the bound. */
  #flow(): void {
    if (this.session.tls.destroyed) return;
    if (this.reading.isFull) this.session.tls.pause();
    else if (this.session.tls.isPaused()) this.session.tls.resume();
  }

  #finishHolders(): void {
    if (this.#ending === undefined) return;
    const { clean, error } = this.#ending;
    for (const holder of [...this.#holders]) {
      if (this.reading.isDrained(holder)) holder.finish(error, clean);
    }
  }

  /** Over is what nobody can get anything from any more: its end is known, and every byte before it is consumed. */
  #checkOver(): void {
    if (this.#ending === undefined || !this.#endingKnown || this.reading.heldBytes > 0) return;
    if (this.#holders.size > 0 || this.#reserved || this.#parking !== undefined) return;
    // A client that has only ended its side may wait for an answer, from whoever holds the session next.
    const { tls } = this.session;
    if (this.options.endsWithDestroy === true && !tls.destroyed && !tls.writableEnded) return;
    this.session.close('its peer has ended it', 'orderly');
    this.#finishForGood();
  }

  /** A server that has closed its socket, of a connection that has ended too, wants nothing more of it. */
  #finishIfDone({ lane: { holderEnd } }: FramedHolder): void {
    const isLeft = holderEnd === 'clean' || holderEnd === 'abrupt';
    const isEnded = this.#ending !== undefined || this.session.tls.destroyed;
    if (this.options.endsWithDestroy !== true || !isLeft || !isEnded) return;
    this.session.close('both sides ended', 'orderly');
    this.#finishForGood();
  }

  #finishForGood(): void {
    if (this.#over) return;
    this.#over = true;
    this.#parking?.cancel();
    this.#parking = undefined;
    for (const enter of [...this.#waiting]) enter();
    this.#owner.namedOnOver(this);
  }
}

function halfWrite(): TlshubError {
  return new TlshubError(
    'ERR_TLSHUB_CLOSED',
    'a process died within a write that was half sent; the session cannot go on',
  );
}
