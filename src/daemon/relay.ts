// The byte path: moves bytes between one session and one lane for the time of a lease, counts them, and ends with a
// verdict about them. ALWAYS: what the peer did reaches the holder as node:tls would show it, and the reverse.
// NEVER: bytes of one lease reach another holder; a session leaves here only without doubt, or is closed.
import { TlshubError } from '../errors.ts';
import { MAX_UNREAD_BYTES } from '../protocol/limits.ts';
import { encodeError } from '../protocol/wire-error.ts';
import { encryptBytes, keepBytes, startReader, stopReader, writeBytes } from './direct-bytes.ts';
import type { Lane } from './lane.ts';
import type { Lease } from './lease.ts';
import type { Occupant, Session } from './session.ts';

/** Milliseconds within which the bytes that a holder has sent must arrive and leave, when it gives the session up. */
const SETTLE_MS = 5_000;

/** Called once when the lease is over: the session was given up without doubt, or is closed. */
export type RelayOnOver = (relay: Relay) => void;

/** The lease of one session on one lane. */
export class Relay implements Lease, Occupant {
  readonly session: Session;
  readonly lane: Lane;
  /** Bytes taken from the holder. */
  takenBytes = 0;
  /** Bytes handed to the holder. */
  deliveredBytes = 0;
  readonly #onOver: RelayOnOver;
  #laneEnded = false;
  #over = false;
  #progress: (() => void) | undefined;
  #givingUp: 'release' | 'detach' | undefined;
  #givenBack: Buffer[] | undefined;
  #givenBackBytes = 0;
  #takingBack = false;
  #deathTimer: NodeJS.Timeout | undefined;

  constructor(session: Session, lane: Lane, onOver: RelayOnOver) {
    this.session = session;
    this.lane = lane;
    this.#onOver = onOver;
    session.occupy(this);
    const { socket } = lane;
    startReader(socket, this.#laneOnBytes);
    socket.on('drain', this.#laneOnDrain);
    socket.on('end', this.#laneOnEnd);
    socket.on('error', this.#laneOnError);
    socket.on('close', this.#laneOnClose);
    startReader(session.tls, this.#tlsOnBytes);
    session.tls.on('drain', this.#tlsOnDrain);
    for (const part of session.unread.splice(0)) this.#deliver(part);
    // With a gone peer the rest of the stream is already in the TLS socket's buffer; its end follows its bytes.
    if (session.peerEnded) this.sessionOnPeerEnd();
    else if (!socket.writableNeedDrain) session.tls.resume();
    socket.resume();
    // A client may have ended its side while it waited for the reply.
    if (socket.readableEnded) this.#laneOnEnd();
  }

  /** True once the lease is over. */
  get over(): boolean {
    return this.#over;
  }

  /** Bytes on the way, both directions. */
  get bufferedBytes(): number {
    return this.session.bufferedBytes + this.lane.socket.writableLength + this.lane.socket.readableLength;
  }

  sessionOnPeerEnd(): void {
    // The lane is still needed for what comes back; the next holder is told.
    if (this.#givingUp === 'detach') return;
    this.lane.sendEnd(0, this.deliveredBytes);
    this.lane.socket.end();
  }

  sessionOnClose(error: Error | undefined): void {
    const clean = error === undefined && this.session.peerEnded;
    if (!clean) this.lane.sendEnd(-1, this.deliveredBytes, error && encodeError(error));
    this.#finish();
    this.lane.socket.destroySoon();
  }

  sessionOnLeave(): void {
    stopReader(this.session.tls);
    this.session.tls.off('drain', this.#tlsOnDrain);
  }

  /** The wrapper has said how its side of the lane ends; the end takes effect when its bytes have come. */
  holderOnEnd(end: 'clean' | 'abrupt'): void {
    this.lane.holderEnd = end;
    if (end === 'abrupt') this.#hasten();
    this.#applyHolderEnd();
  }

  /** The holder's process is gone. What it had sent still leaves, as from a dead process's kernel buffers. */
  holderOnGone(): void {
    if (this.lane.holderEnd !== 'clean') this.lane.holderEnd = 'gone';
    this.#hasten();
    this.#applyHolderEnd();
  }

  /**
   * The holder gives the session up. Answers `undefined` when there is no doubt about any byte: the session then
   * has no occupant. Otherwise answers the doubt, and the session is closed. A lease is given up once only: a second
   * attempt throws ERR_TLSHUB_PROTOCOL, for by then the session may be another's.
   * @param sentBytes what the holder wrote to the lane
   * @param receivedBytes what its application consumed
   */
  async release(sentBytes: number, receivedBytes: number): Promise<string | undefined> {
    this.#beginGivingUp('release');
    const doubt = (await this.#settle(sentBytes)) ?? this.#doubtOfReceived(receivedBytes);
    if (this.#over) return doubt ?? 'the session has ended';
    if (doubt !== undefined) {
      this.session.close(`released in doubt: ${doubt}`, 'abrupt');
      return doubt;
    }
    this.#leave();
    return undefined;
  }

  /**
   * First half of a detach: stops delivering, and waits until all that the holder sent has left. Answers how many
   * bytes were delivered; what of them was not consumed comes back on the lane (see {@link takeBack}).
   * @param sentBytes what the holder wrote to the lane
   */
  async stop(sentBytes: number): Promise<number> {
    this.#beginGivingUp('detach');
    stopReader(this.session.tls);
    const doubt = await this.#settle(sentBytes);
    if (doubt !== undefined) {
      if (!this.#over) this.session.close(`detached in doubt: ${doubt}`, 'abrupt');
      throw new TlshubError('ERR_TLSHUB_NOT_DETACHABLE', doubt);
    }
    this.#givenBack = [];
    return this.deliveredBytes;
  }

  /**
   * Second half of a detach: takes the unread bytes back; the session then has no occupant.
   * @param unreadBytes how many come back
   */
  async takeBack(unreadBytes: number): Promise<void> {
    const mostBytes = Math.min(this.deliveredBytes, MAX_UNREAD_BYTES);
    if (this.#givenBack === undefined || this.#takingBack || unreadBytes > mostBytes) {
      throw new TlshubError(
        'ERR_TLSHUB_PROTOCOL',
        'detached without detach, or a second time, or with more bytes than were delivered',
      );
    }
    this.#takingBack = true;
    await this.#until(() => this.#givenBackBytes >= unreadBytes || this.#laneEnded);
    if (this.#over || this.#givenBackBytes !== unreadBytes) {
      if (!this.#over) this.session.close('detached in doubt: the unread bytes did not come back', 'abrupt');
      throw new TlshubError('ERR_TLSHUB_NOT_DETACHABLE', 'the unread bytes did not come back');
    }
    if (unreadBytes > 0) this.session.unread = this.#givenBack;
    this.#leave();
  }

  readonly #laneOnBytes = (bytes: Buffer) => {
    if (this.#givenBack !== undefined) {
      this.#givenBack.push(keepBytes(bytes));
      this.#givenBackBytes += bytes.length;
      if (this.#givenBackBytes > MAX_UNREAD_BYTES) this.lane.socket.destroy();
    } else {
      this.takenBytes += bytes.length;
      this.session.countToPeer(bytes.length, true);
      if (!encryptBytes(this.session.tls, bytes, this.#tlsOnWritten)) this.lane.socket.pause();
    }
    this.#progress?.();
  };

  readonly #tlsOnWritten = () => {
    this.#progress?.();
    if (this.#laneEnded && this.session.tls.writableLength === 0) this.#applyHolderEnd();
  };

  readonly #tlsOnDrain = () => {
    this.lane.socket.resume();
  };

  readonly #tlsOnBytes = (bytes: Buffer) => {
    this.session.countFromPeer(bytes.length);
    this.#deliver(bytes);
  };

  readonly #laneOnDrain = () => {
    if (this.#givingUp !== 'detach') this.session.tls.resume();
  };

  readonly #laneOnEnd = () => {
    this.#laneEnded = true;
    this.#progress?.();
    this.#applyHolderEnd();
  };

  // A holder that died leaves a broken pipe; `close` follows and says what there is to say.
  readonly #laneOnError = () => {};

  readonly #laneOnClose = () => {
    this.#laneEnded = true;
    // Nobody can be given anything any more; where both sides ended in order, the session ends by itself.
    if (!(this.lane.holderEnd === 'clean' && this.session.peerEnded)) this.lane.holderEnd = 'abrupt';
    this.#hasten();
    this.#progress?.();
    this.#applyHolderEnd();
  };

  #deliver(bytes: Buffer): void {
    this.deliveredBytes += bytes.length;
    if (!writeBytes(this.lane.socket, bytes)) this.session.tls.pause();
  }

  /** Does to the session what the holder did to its socket, once all of the holder's bytes are there. */
  #applyHolderEnd(): void {
    if (this.#over || !this.#laneEnded || this.#givenBack !== undefined) return;
    const { tls } = this.session;
    if (this.lane.holderEnd === 'clean') {
      if (!tls.writableEnded) tls.end();
    } else if (this.lane.holderEnd !== undefined && tls.writableLength === 0) {
      this.session.close(
        this.lane.holderEnd === 'gone' ? 'its holder is gone' : 'its holder destroyed the socket',
        'abrupt',
      );
    }
  }

  /** A peer that does not read must not keep the session of a holder that is gone. */
  #hasten(): void {
    if (this.#over) return;
    this.#deathTimer ??= setTimeout(() => {
      this.session.close('its holder is gone and its peer does not read', 'abrupt');
    }, SETTLE_MS);
  }

  #beginGivingUp(how: 'release' | 'detach'): void {
    if (this.#givingUp !== undefined) {
      throw new TlshubError('ERR_TLSHUB_PROTOCOL', `${how} after ${this.#givingUp}`);
    }
    this.#givingUp = how;
  }

  /** Waits until what the holder sent has come and left; answers the doubt if it does not. */
  async #settle(sentBytes: number): Promise<string | undefined> {
    const { tls } = this.session;
    await this.#until(() => {
      return (
        this.takenBytes > sentBytes ||
        (this.#laneEnded && this.takenBytes < sentBytes) ||
        (this.takenBytes === sentBytes && tls.writableLength === 0)
      );
    });
    if (this.#over) return 'the session has ended';
    if (this.takenBytes !== sentBytes) return `${sentBytes} bytes were sent and ${this.takenBytes} came`;
    // The end of a lane may overtake the release that was sent before it; a holder that ended its stream says so.
    if (this.#laneEnded && this.lane.holderEnd !== undefined) return 'the lane has ended';
    if (tls.writableLength > 0) return 'the peer does not take what was sent';
    return undefined;
  }

  #doubtOfReceived(receivedBytes: number): string | undefined {
    if (this.deliveredBytes !== receivedBytes) {
      return `${this.deliveredBytes} bytes were delivered and ${receivedBytes} read`;
    }
    if (this.session.peerEnded) return 'the peer has ended the session';
    if (this.session.hasUnread) return 'unread bytes are waiting';
    return undefined;
  }

  #until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const check = () => {
        if (!this.#over && !condition()) return;
        clearTimeout(timer);
        this.#progress = undefined;
        resolve();
      };
      const timer = setTimeout(() => {
        this.#progress = undefined;
        resolve();
      }, SETTLE_MS);
      this.#progress = check;
      check();
    });
  }

  /** The session stays, without an occupant; the lane is done. */
  #leave(): void {
    this.session.occupy(undefined);
    this.#finish();
    this.lane.socket.end();
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#deathTimer);
    const { socket } = this.lane;
    stopReader(socket);
    socket.off('drain', this.#laneOnDrain);
    socket.resume();
    this.#progress?.();
    this.#onOver(this);
  }
}
