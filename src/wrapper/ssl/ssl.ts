// The verbs of OpenSSL's SSL object as promises, over the sockets of `connect` and `attach`: the same calls and the
// same return codes whether the session lives in the daemon or in this process. Built on the public sockets alone.
// docs/ssl.md has the table of verbs; src/ssl.ts exports them.
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { TlshubError } from '../../errors.ts';
import { type AttachOptions, attach as attachSocket } from '../attach.ts';
import { connect as connectSocket, type ShareableConnectionOptions, type TlshubSocket } from '../connect.ts';
import type { ParkOptions } from '../session-verbs.ts';
import type { SharedOptions } from '../sharing-options.ts';
import { SslDescription } from './description.ts';
import type { SslErrorClass } from './error-class.ts';
import { busyError, invalidArgument, sslLibraryError, timedOutError, uninitializedError } from './errors.ts';
import { Outcomes, type ReturnCode, type SslCall } from './outcomes.ts';
import { Patience, type WaitOptions } from './patience.ts';
import { PulledSocket } from './pulled-socket.ts';

/** Bits that `getShutdown` answers (SSL_get_shutdown(3)). */
export const SSL_SHUTDOWN = { SENT: 1, RECEIVED: 2 } as const;

/**
 * One TLS session by OpenSSL's verbs. Calls answer return codes and never reject, except with
 * ERR_TLSHUB_INVALID_OPTION for a wrong argument, with what `tls.connect` throws, and with the reason of an aborted
 * signal. One `read`, `peek` or second `shutdown` at a time; writes keep their order.
 */
export class Ssl extends SslDescription {
  #pulled: PulledSocket | undefined;
  readonly #outcomes = new Outcomes();
  /** Why this object has no session any more, by its own wish. */
  #left: TlshubError | undefined;
  /** A call waits for the stream's bytes, or takes them elsewhere. */
  #reading = false;
  #ending: 'no' | 'sending' | 'sent' = 'no';
  /** Settles when all that was written so far has left the stream. */
  #flushed: Promise<unknown> = Promise.resolve();

  /** Opens a session as the method `connect` does; rejects with the error when that fails. */
  static connect(
    shared: boolean | SharedOptions,
    options: ConnectionOptions,
    wait?: WaitOptions,
  ): Promise<Ssl> {
    return openOrThrow((ssl) => ssl.connect(shared, options, wait));
  }

  /** Takes a session over as the method `attach` does; rejects with the error when that fails. */
  static attach(handleOrName: string, options?: AttachOptions, wait?: WaitOptions): Promise<Ssl> {
    return openOrThrow((ssl) => ssl.attach(handleOrName, options, wait));
  }

  /** Takes a server's socket as the method `accept` does; rejects with the error when that fails. */
  static accept(socket: TLSSocket): Promise<Ssl> {
    return openOrThrow((ssl) => ssl.accept(socket));
  }

  /**
   * SSL_connect(3): opens a session, shakes hands and verifies. 1 done; −1 failed, or WANT_READ when it was not done
   * within `wait` (`doHandshake` goes on).
   * @param shared whether, and how, the session is shared: `true` or options for the daemon, `false` for this process
   * @param options those of tls.connect, without `onread`
   */
  async connect(
    shared: boolean | SharedOptions,
    options: ConnectionOptions,
    wait?: WaitOptions,
  ): Promise<ReturnCode> {
    const all = { ...options, allowHalfOpen: true, shared } as ShareableConnectionOptions;
    if ('onread' in all && all.onread !== undefined)
      throw invalidArgument('"onread" would take the bytes away');
    return this.#begin(() => connectSocket(all), { wait });
  }

  /**
   * Takes over a session that another process left: what `detach` answered there, or a session's name. Return codes as
   * of `connect`.
   */
  async attach(handleOrName: string, options?: AttachOptions, wait?: WaitOptions): Promise<ReturnCode> {
    return this.#begin(() => attachSocket(handleOrName, { ...options, allowHalfOpen: true }), { wait });
  }

  /**
   * SSL_accept(3), for a socket of a TLS server whose handshake is done (event `secureConnection`). 1 done, −1 when it
   * has closed meanwhile. Nobody else may read from the socket.
   */
  async accept(socket: TLSSocket): Promise<ReturnCode> {
    if (typeof socket?.getProtocol !== 'function') throw invalidArgument('accept takes a TLS socket');
    if (!socket.destroyed && socket.getProtocol() === null) {
      throw invalidArgument('accept takes a socket whose handshake is done');
    }
    return this.#begin(() => socket as TlshubSocket, { open: true });
  }

  /** SSL_do_handshake(3): waits on for a handshake that was not done in time. Return codes as of `connect`. */
  async doHandshake(wait?: WaitOptions): Promise<ReturnCode> {
    return this.#handshake(new Patience(wait));
  }

  /**
   * SSL_read(3): at least one byte and at most `max`. 0 (ZERO_RETURN) when the peer has ended, −1 failed, or WANT_READ
   * when nothing came within `wait`. Bytes that came before a failure are answered before it.
   * @param max a whole number of bytes, at least 1
   */
  async read(max: number, wait?: WaitOptions): Promise<Buffer | 0 | -1> {
    return this.#pull(max, wait, (pulled) => pulled.take(max));
  }

  /** SSL_peek(3): as `read`, but the bytes stay to be read, here or by whoever takes the session over. */
  async peek(max: number, wait?: WaitOptions): Promise<Buffer | 0 | -1> {
    return this.#pull(max, wait, (pulled) => Buffer.from(pulled.look(max)));
  }

  /** SSL_pending(3): bytes that can be read without waiting. */
  pending(): number {
    return this.#left === undefined ? (this.#pulled?.pendingBytes ?? 0) : 0;
  }

  /**
   * SSL_write(3): sends all of `data` and answers its length in bytes when they have left the process; −1 failed, or
   * WANT_WRITE when earlier bytes had not left within `wait`, with none of these taken. Bytes that were taken but have
   * not left when the time is up, or the signal aborted, are sent later and count as written. Of no bytes, 0.
   * @param data must not change before the call has answered; a string is sent as UTF-8
   */
  async write(data: string | Uint8Array, wait?: WaitOptions): Promise<number> {
    const bytes = bytesOf(data);
    const patience = new Patience(wait);
    if (this.#refusal('write') === undefined && !(await patience.forSettled(this.#flushed))) {
      return this.#outcomes.want('write', 'write');
    }
    const pulled = this.#usable('write');
    if (pulled instanceof Error) return this.#outcomes.fail('write', pulled);
    if (bytes.length === 0) return this.#outcomes.succeed('write', 0);
    const flushed = pulled.write(bytes);
    this.#flushed = flushed;
    // It is too late to take the bytes back: an abort only ends the waiting.
    const left = await patience.forSettled(flushed).catch(() => false);
    const error = left ? await flushed : undefined;
    return error === undefined
      ? this.#outcomes.succeed('write', bytes.length)
      : this.#outcomes.fail('write', this.#refusal('write') ?? error);
  }

  /**
   * SSL_shutdown(3): the first call ends our side (close_notify, and FIN behind it): 0 when the peer's end has not been
   * read yet, 1 when it has. The second waits for the peer's end: 1 done. −1 failed, or WANT_WRITE or WANT_READ when
   * not done within `wait`, or class SSL when the peer still sends: those bytes are to be read first.
   */
  async shutdown(wait?: WaitOptions): Promise<ReturnCode> {
    const patience = new Patience(wait);
    const pulled = this.#usable('shutdown');
    if (pulled instanceof Error) return this.#outcomes.fail('shutdown', pulled);
    return this.#ending === 'sent'
      ? this.#awaitPeersEnd(pulled, patience)
      : this.#endOurSide(pulled, patience);
  }

  /** SSL_get_shutdown(3): bits of {@link SSL_SHUTDOWN}; RECEIVED when the peer's end has been read. */
  getShutdown(): number {
    const sent = this.#ending === 'no' ? 0 : SSL_SHUTDOWN.SENT;
    return sent | (this.#pulled?.ended === true ? SSL_SHUTDOWN.RECEIVED : 0);
  }

  /**
   * SSL_get_error(3): the class of the outcome of a call.
   * @param rc what the call answered
   * @param call the kind of that call; needed only where calls of several kinds run at the same time, otherwise it was
   * the last one that answered
   */
  getError(rc: number | string | Uint8Array, call?: SslCall): SslErrorClass {
    return this.#outcomes.classOf(rc, call);
  }

  /** The error of the last call, with Node's own code, when its class was SSL or SYSCALL. */
  get lastError(): Error | undefined {
    return this.#outcomes.lastError;
  }

  /**
   * Gives the session back, warm, for another process. 1 done; 0 when it was ended instead, since there was a doubt
   * about a byte or it is not shared (`sharing.reason`); −1 failed, or a read is waiting. This object is of no use after
   * 1 or 0. Bytes that were only looked at count as unread.
   */
  async release(): Promise<ReturnCode> {
    const pulled = this.#usable('leave');
    if (pulled instanceof Error) return this.#outcomes.fail('leave', pulled);
    const { socket } = pulled;
    if (this.#ending !== 'no' || !this.sharing.shared) {
      this.#leave('release');
      socket.destroySoon();
      return this.#outcomes.succeed('leave', 0);
    }
    return this.#giveUp('release', async () => {
      await socket.release();
      return this.sharing.reason === null ? 1 : 0;
    });
  }

  /**
   * Leaves the session in the daemon, with all bytes that were not read, and answers the handle for `attach` in another
   * process; −1 when that cannot be. This object is of no use afterwards.
   */
  async detach(): Promise<string | -1> {
    const pulled = this.#usable('leave');
    if (pulled instanceof Error) return this.#outcomes.fail('leave', pulled);
    const refusal = this.#detachRefusal();
    if (refusal !== undefined) return this.#outcomes.fail('leave', refusal);
    return this.#giveUp('detach', () => pulled.socket.detach());
  }

  /**
   * Leaves the session to a command that the daemon starts when bytes arrive, the peer closes, the session fails or the
   * time is over, as `socket.park`. 1 done; −1 when that cannot be. This object is of no use afterwards.
   * @param options the command, and how it is to be started
   */
  async activateOnReceipt(options: ParkOptions): Promise<ReturnCode> {
    const pulled = this.#usable('leave');
    if (pulled instanceof Error) return this.#outcomes.fail('leave', pulled);
    const refusal = this.#detachRefusal();
    if (refusal !== undefined) return this.#outcomes.fail('leave', refusal);
    return this.#giveUp('activateOnReceipt', async () => {
      await pulled.socket.park(options);
      return 1;
    });
  }

  /** State that the application keeps with a named session; `null` when there is none. */
  get state(): Buffer | null {
    return this.#pulled?.socket.state ?? null;
  }

  /** Keeps state with a named session, for its next holder, as `socket.setState`. 1 done; −1 failed. */
  async setState(state: Uint8Array): Promise<ReturnCode> {
    return this.#tellSession((socket) => socket.setState(state));
  }

  /** Named sessions opened with `commit: 'manual'`: all that was read is consumed, as `socket.commit`. 1 done; −1 failed. */
  async commit(): Promise<ReturnCode> {
    return this.#tellSession((socket) => socket.commit());
  }

  /** SSL_free(3): drops the session without close_notify, unless it has been ended, given back or left. */
  free(): void {
    this.#leave('free');
    this.#pulled?.socket.destroy();
  }

  async #begin(
    makeSocket: () => TlshubSocket,
    { open = false, wait }: { open?: boolean; wait?: WaitOptions | undefined },
  ): Promise<ReturnCode> {
    const patience = new Patience(wait);
    if (this.#pulled !== undefined) throw invalidArgument('this object has had a session; make another');
    const socket = makeSocket();
    this.describe(socket, open);
    this.#pulled = new PulledSocket(socket, open);
    return this.#handshake(patience);
  }

  async #handshake(patience: Patience): Promise<ReturnCode> {
    const pulled = this.#pulled;
    if (pulled === undefined) return this.#outcomes.fail('handshake', uninitializedError());
    if (!(await pulled.untilOpen(patience))) return this.#outcomes.want('handshake', 'read');
    const failure = this.#left ?? pulled.failure;
    return failure === undefined
      ? this.#outcomes.succeed('handshake', 1)
      : this.#outcomes.fail('handshake', failure);
  }

  async #pull(
    max: number,
    wait: WaitOptions | undefined,
    get: (pulled: PulledSocket) => Buffer,
  ): Promise<Buffer | 0 | -1> {
    if (!Number.isInteger(max) || max < 1)
      throw invalidArgument('the number of bytes must be a whole number from 1');
    const patience = new Patience(wait);
    const pulled = this.#pulled;
    if (pulled === undefined) return this.#outcomes.fail('read', uninitializedError());
    // A failed session is no reason yet: what came before the failure is read first.
    const refusal = this.#left ?? (this.#reading ? busyError() : undefined);
    if (refusal !== undefined) return this.#outcomes.fail('read', refusal);
    if (!(await this.#exclusively(() => pulled.untilReadable(patience)))) {
      return this.#outcomes.want('read', 'read');
    }
    if (this.#left === undefined && pulled.pendingBytes > 0) {
      return this.#outcomes.succeed('read', get(pulled));
    }
    const failure = this.#refusal('read');
    return failure === undefined ? this.#outcomes.zeroReturn('read') : this.#outcomes.fail('read', failure);
  }

  async #endOurSide(pulled: PulledSocket, patience: Patience): Promise<ReturnCode> {
    if (!pulled.open) return this.#outcomes.fail('shutdown', sslLibraryError('shutdown while in init'));
    if (this.#ending === 'no') {
      this.keepDescription();
      this.#ending = 'sending';
      pulled.socket.end();
    }
    if (!(await pulled.untilFinished(patience))) return this.#outcomes.want('shutdown', 'write');
    const failure = this.#refusal('shutdown');
    if (failure !== undefined) return this.#outcomes.fail('shutdown', failure);
    this.#ending = 'sent';
    return this.#outcomes.succeed('shutdown', pulled.ended ? 1 : 0);
  }

  async #awaitPeersEnd(pulled: PulledSocket, patience: Patience): Promise<ReturnCode> {
    if (this.#reading) return this.#outcomes.fail('shutdown', busyError());
    if (!(await this.#exclusively(() => pulled.untilReadable(patience)))) {
      return this.#outcomes.want('shutdown', 'read');
    }
    if (this.#left === undefined && pulled.pendingBytes > 0) {
      return this.#outcomes.fail('shutdown', sslLibraryError('application data after close notify'));
    }
    const failure = this.#refusal('shutdown');
    return failure === undefined
      ? this.#outcomes.succeed('shutdown', 1)
      : this.#outcomes.fail('shutdown', failure);
  }

  async #tellSession(tell: (socket: TlshubSocket) => Promise<void>): Promise<ReturnCode> {
    const pulled = this.#usable('leave');
    if (pulled instanceof Error) return this.#outcomes.fail('leave', pulled);
    try {
      await tell(pulled.socket);
      return this.#outcomes.succeed('leave', 1);
    } catch (error) {
      return this.#outcomes.fail('leave', error as Error);
    }
  }

  async #giveUp<Code extends ReturnCode | string>(
    verb: 'release' | 'detach' | 'activateOnReceipt',
    give: () => Promise<Code>,
  ): Promise<Code | -1> {
    try {
      const rc = await this.#exclusively(give);
      this.#leave(verb);
      return this.#outcomes.succeed('leave', rc);
    } catch (error) {
      return this.#outcomes.fail('leave', error as Error);
    }
  }

  async #exclusively<Result>(use: () => Promise<Result>): Promise<Result> {
    this.#reading = true;
    try {
      return await use();
    } finally {
      this.#reading = false;
    }
  }

  /** The socket for a call of this kind, or why it cannot be done. */
  #usable(call: SslCall): PulledSocket | Error {
    return this.#refusal(call) ?? this.#pulled ?? uninitializedError();
  }

  /** Why a call of this kind cannot be done, now or ever. */
  #refusal(call: SslCall): Error | undefined {
    if (this.#pulled === undefined) return uninitializedError();
    const gone = this.#left ?? this.#pulled.failure;
    if (gone !== undefined) return gone;
    if (call === 'write' && this.#ending !== 'no') return sslLibraryError('protocol is shutdown');
    return call === 'leave' && this.#reading ? busyError() : undefined;
  }

  #detachRefusal(): Error | undefined {
    const refuse = (why: string) => new TlshubError('ERR_TLSHUB_NOT_DETACHABLE', why);
    if (this.#ending !== 'no') return refuse('the session has been shut down');
    if (this.sharing.shared) return undefined;
    return refuse(`the session is not shared: ${this.sharing.reason ?? 'that was not asked for'}`);
  }

  #leave(verb: 'release' | 'detach' | 'activateOnReceipt' | 'free'): void {
    this.#left ??= new TlshubError('ERR_TLSHUB_NOT_LEASED', `the session was given up by ${verb}()`);
  }
}

async function openOrThrow(open: (ssl: Ssl) => Promise<ReturnCode>): Promise<Ssl> {
  const ssl = new Ssl();
  try {
    if ((await open(ssl)) === 1) return ssl;
    throw ssl.lastError ?? timedOutError();
  } catch (error) {
    ssl.free();
    throw error;
  }
}

function bytesOf(data: string | Uint8Array): Uint8Array {
  if (typeof data === 'string') return Buffer.from(data);
  if (!(data instanceof Uint8Array)) throw invalidArgument('data must be a string or bytes');
  return data;
}
