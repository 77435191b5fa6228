// The socket that an application gets for a shared session: a net.Socket whose handle is the lane, with the members
// and events of tls.TLSSocket. It holds user bytes back until the session is open and its peer accepted, turns the
// daemon's lane-end into what node:tls would have shown, and gives the session up by release or detach.
import { Socket, type SocketConstructorOpts } from 'node:net';
import { addAbortSignal } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { codeOf, TlshubError } from '../errors.ts';
import type { OpenEvent } from '../protocol/messages.ts';
import type { DaemonLink } from './daemon-link.ts';
import { OwnPipe } from './frame-pipe.ts';
import { FramedTransport } from './framed-transport.ts';
import { HoldingTransport } from './holding-transport.ts';
import { InProcessTransport } from './in-process.ts';
import { closeLane, endLane, isRecordLayerError, LaneEnding } from './lane-ending.ts';
import { giveHandle, handleOf, laneCount, stopReading, unreadBytesOf } from './lane-handle.ts';
import { LaneOpening, LaneRefusal, type LaneRequester, type OpenLane } from './lane-opening.ts';
import type { LaneEnd } from './link-holders.ts';
import { OnReadFeeder } from './on-read.ts';
import { emitOpenEvent } from './open-events.ts';
import { rebuildError } from './rebuild-error.ts';
import { RemoteTls } from './remote-tls.ts';
import type { SocketSettings } from './resolve-request.ts';
import { installSessionVerbs, type SessionVerbs } from './session-verbs.ts';
import { ALLOWS_FALLBACK, judgeIdentity, type SharedSocketOptions } from './shared-socket-options.ts';
import { describeSharing, type SharingInfo, undecided } from './sharing-info.ts';
import { installTlsMembers } from './tls-members.ts';
import type { Transport, TransportCallback } from './transport.ts';

/** How far the socket's lane has come. `given-up` is after release or detach. */
type Phase = 'opening' | 'open' | 'given-up' | 'in-process';
/** A socket on a session of the daemon. */
export class SharedSocket extends Socket implements LaneRequester {
  declare readonly release: SessionVerbs['release'];
  declare readonly releaseAtExit: SessionVerbs['releaseAtExit'];
  declare readonly detach: SessionVerbs['detach'];
  declare readonly commit: SessionVerbs['commit'];
  declare readonly setState: SessionVerbs['setState'];
  declare readonly setName: SessionVerbs['setName'];
  declare readonly park: SessionVerbs['park'];
  declare readonly handOff: SessionVerbs['handOff'];
  /** Opaque state that the application keeps with a named session; see `setState`. */
  state: Buffer | null = null;
  readonly encrypted = true;
  authorized = false;
  authorizationError: string | Error | null = null;
  alpnProtocol: string | false | null = null;
  servername: string | false | null = null;
  secureConnecting = true;
  /** Whether and why this socket shares a session. */
  sharing: SharingInfo = undecided();
  readonly #options: SharedSocketOptions;
  readonly #feeder: OnReadFeeder | undefined;
  #phase: Phase = 'opening';
  #tls: RemoteTls | undefined;
  #lane: OpenLane | undefined;
  /** Holds what is asked before the session is open. */
  readonly #holding: HoldingTransport | undefined;
  /** `undefined` where the socket's own handle is the lane. */
  #transport: Transport | undefined;
  /** Bytes of the lane that are its lines, not the session's. */
  #lineBytesRead = 0;
  #lineBytesWritten = 0;
  #referenced = true;
  readonly #ending = new LaneEnding();
  #laneEofSeen = false;
  #endSent: 0 | -1 | undefined;
  #takeChunk: ((chunk: Buffer) => boolean) | undefined;
  #settings: SocketSettings = {};
  /** Settings that the daemon knows of. */
  readonly #told: SocketSettings;

  constructor(options: SharedSocketOptions) {
    // A signal that is aborted already would destroy the socket before its own fields exist.
    const { signal, ...stream } = options.stream as SocketConstructorOpts & { signal?: AbortSignal };
    super(stream);
    this.#options = options;
    this.#told = { ...options.target?.socket };
    this.#feeder = options.onread && new OnReadFeeder(options.onread);
    // net.Socket has no public way to say "not yet connected"; it keeps `connecting` as a plain property.
    (this as { connecting: boolean }).connecting = true;
    if (options.target !== undefined) {
      const opening = new LaneOpening(options.directory, options.target, this);
      this.#holding = new HoldingTransport(this, opening);
      this.#transport = this.#holding;
      opening.lane.then(
        (lane) => this.openOn(lane),
        (error) => this.#fail(error),
      );
    }
    if (signal !== undefined) addAbortSignal(signal, this);
  }

  /** The session's description; `undefined` before it is open. */
  get remoteTls(): RemoteTls | undefined {
    return this.#tls;
  }

  /** The TLS socket in this process, when the session could not be shared. */
  get localTls(): TLSSocket | undefined {
    return this.#transport instanceof InProcessTransport ? this.#transport.inner : undefined;
  }

  /** True while the session is this socket's. */
  get isLeased(): boolean {
    return this.#phase === 'open' && this.#lane !== undefined && !this.destroyed;
  }

  /** The link and lane number of an open lease. Throws ERR_TLSHUB_NOT_LEASED. */
  get lease(): { link: DaemonLink; lane: number } {
    if (!this.isLeased || this.#lane === undefined) throw new TlshubError('ERR_TLSHUB_NOT_LEASED');
    return this.#lane;
  }

  /** Bytes in the stream that the application has not taken; a half-decoded character counts as not taken. */
  get unreadBytes(): number {
    return unreadBytesOf(this);
  }

  /** The framed lane, when the session is a named one. */
  get framed(): FramedTransport | undefined {
    return this.#transport instanceof FramedTransport ? this.#transport : undefined;
  }

  /** Bytes of the session that came on the lane. */
  get receivedBytes(): number {
    return this.#transport?.bytesRead ?? Math.max(0, laneCount(this, 'bytesRead') - this.#lineBytesRead);
  }

  /** Bytes that were written to the lane, or will be when the session is open. */
  get sentBytes(): number {
    const ofLane = () => Math.max(0, laneCount(this, 'bytesWritten') - this.#lineBytesWritten);
    return (this.#transport?.bytesWritten ?? ofLane()) + (this.#holding?.heldBytes ?? 0);
  }

  /** From now on the lane's bytes go to `take` instead of the stream (detach); it answers whether to read on. */
  divert(take: (chunk: Buffer) => boolean): void {
    this.#takeChunk = take;
  }

  /** The session is in other hands, or will be: the daemon is told nothing more of this lane. */
  giveUp(): void {
    this.#phase = 'given-up';
  }

  /** Settings of the TCP connection; before the session is open they are kept until it is. */
  applySettings(settings: SocketSettings): void {
    // An HTTP agent repeats its settings after each request.
    const isNew = Object.entries(settings).some(([name, value]) => Reflect.get(this.#told, name) !== value);
    if (this.#phase === 'opening') Object.assign(this.#settings, settings);
    else if (this.isLeased && isNew) this.tellDaemon('set', Object.assign(this.#told, settings));
  }

  /** Makes a call about the lane whose failure only means that the session has ended, which other ways tell. */
  tellDaemon(name: 'set', fields: object): void {
    const { link, lane } = this.lease;
    // Not an awaited call: that would keep the process alive until the daemon answers.
    link.tell(name, { lane, ...fields });
  }

  /** The daemon is opening the session and says what node:tls emitted there. */
  laneOnOpenEvent(event: OpenEvent): void {
    if (!this.destroyed) emitOpenEvent(this, event);
  }

  linkOnLaneEnd(end: LaneEnd): void {
    this.#ending.learn(end);
  }

  linkOnTicket(ticket: Buffer): void {
    if (this.#tls === undefined) return;
    this.#tls.info.ticket = ticket.toString('base64');
    if (!this.destroyed && !this.secureConnecting) this.emit('session', ticket);
  }

  linkOnDrain(): void {
    this.emit('tlshub:drain');
  }

  override ref(): this {
    this.#referenced = true;
    this.#transport?.ref();
    return handleOf(this) === null ? this : super.ref();
  }

  override unref(): this {
    this.#referenced = false;
    this.#transport?.unref();
    return handleOf(this) === null ? this : super.unref();
  }

  override pause(): this {
    super.pause();
    if (this.#feeder !== undefined) stopReading(this);
    return this;
  }

  override resume(): this {
    super.resume();
    // Nothing is pushed into the stream, so the stream itself never asks for more.
    if (this.#feeder !== undefined && this.#phase === 'open' && !this.destroyed) super._read(0);
    return this;
  }

  override push(chunk: unknown, encoding?: BufferEncoding): boolean {
    if (chunk === null && this.#lane === undefined) return super.push(null);
    if (chunk === null) {
      this.#laneEofSeen = true;
      this.#ending.await(this.#lane?.link, () => this.#applyLaneEof());
      return false;
    }
    if (this.#takeChunk !== undefined) return this.#takeChunk(chunk as Buffer);
    if (this.#feeder !== undefined) return this.#feeder.feed(chunk as Buffer);
    return super.push(chunk, encoding);
  }

  override read(size?: number): Buffer | null {
    if (this.framed?.isHeld === true) return null;
    const chunk = super.read(size) as Buffer | null;
    // Node reads ahead by itself; only who reads a stream that holds nothing asks for something.
    if (chunk === null && this.readableLength === 0) this.framed?.demand();
    this.#transport?.noteConsumed();
    return chunk;
  }

  override _read(size: number): void {
    if (this.#transport === undefined) super._read(size);
    else this.#transport.resume();
  }

  override _write(chunk: unknown, encoding: BufferEncoding, callback: TransportCallback): void {
    if (this.#transport === undefined) super._write(chunk, encoding, callback);
    else this.#transport.write(chunk as Buffer, encoding, callback);
  }

  override _writev(chunks: { chunk: Buffer; encoding: BufferEncoding }[], callback: TransportCallback): void {
    if (this.#transport !== undefined) this.#transport.writev(chunks, callback);
    else (super._writev as (chunks: unknown, callback: TransportCallback) => void)(chunks, callback);
  }

  override _final(callback: TransportCallback): void {
    if (this.#phase !== 'opening') this.#sendLaneEnd(0);
    if (this.#transport === undefined) super._final(callback as never);
    else this.#transport.end(callback);
  }

  override _destroy(error: Error | null, callback: TransportCallback): void {
    this.#ending.stopWaiting();
    const cleanlyOver = this.#laneEofSeen && this.#ending.known?.rc === 0 && this.writableFinished;
    if (!cleanlyOver) this.#sendLaneEnd(-1);
    this.#transport?.destroy(error);
    const close = (shown: Error | null) => {
      this.#lane?.link.removeLane(this.#lane.lane);
      this.#options.onDestroyed?.();
      if (handleOf(this) === null) this.#closeWithoutHandle(shown, callback);
      else super._destroy(shown, callback);
    };
    // What a broken lane means for the session, the daemon says on the link.
    if (this.#lane === undefined || !this.#ending.leavesOpen(error)) close(error);
    else this.#ending.await(this.#lane.link, () => close(this.#ending.known?.error ?? error), 'for good');
  }

  /** As net.Socket closes, in a later turn; without a handle it would not say in `close` whether there was an error. */
  #closeWithoutHandle(error: Error | null, callback: TransportCallback): void {
    (this as { connecting: boolean }).connecting = false;
    this.setTimeout(0);
    callback(error);
    setImmediate(() => this.emit('close', error !== null));
  }

  /** The session is there: `secureConnect` follows. */
  openOn(lane: OpenLane): void {
    if (this.destroyed) {
      endLane(lane, -1, 0);
      closeLane(lane);
      return;
    }
    const { reply, link } = lane;
    this.#tls = new RemoteTls(reply.tls);
    this.alpnProtocol = reply.tls.alpnProtocol;
    this.servername = reply.tls.servername;
    this.sharing = describeSharing(reply);
    this.state = reply.framed?.state == null ? null : Buffer.from(reply.framed.state, 'base64');
    const refusal = judgeIdentity(this.#options.identity, this.#tls);
    if (refusal !== undefined && this.#options.rejectUnauthorized) {
      link.call('refuse', { lane: lane.lane }).catch(() => {});
      link.removeLane(lane.lane);
      closeLane(lane);
      this.authorizationError = codeOf(refusal) ?? refusal.message;
      this.#emitOpenEvents(reply.events);
      this.destroy(refusal);
      return;
    }
    this.#lane = lane;
    this.#phase = 'open';
    lane.tellNews();
    const headLater = this.#takeLane(lane);
    this.#emitOpenEvents(reply.events);
    if (this.destroyed) return;
    this.authorized = reply.tls.authorized && refusal === undefined;
    this.authorizationError =
      refusal === undefined ? reply.tls.authorizationError : (codeOf(refusal) ?? refusal.message);
    this.secureConnecting = false;
    this.emit('secureConnect');
    if (this.destroyed) return;
    if (Object.keys(this.#settings).length > 0) this.applySettings(this.#settings);
    const ticket = this.#tls.getSession();
    if (ticket !== undefined) this.emit('session', ticket);
    if (this.destroyed) return;
    this.framed?.start();
    this.#lineBytesRead -= lane.head.length;
    const wantsMore = !headLater || lane.head.length === 0 || this.push(lane.head);
    this.#holding?.run();
    const isRead = this.readableFlowing === true || this.listenerCount('readable') > 0;
    if (!wantsMore && this.#feeder !== undefined) stopReading(this);
    else if (!this.isPaused() && !this.destroyed && (isRead || !this.framed?.readsOnDemand)) this.read(0);
  }

  /** Makes the lane this socket's way to the session; answers whether its first bytes have to wait for their listener. */
  #takeLane(lane: OpenLane): boolean {
    if (lane.reply.framed !== undefined) {
      const pipe = lane.pipe ?? new OwnPipe(lane.handle, lane.head);
      this.#transport = new FramedTransport(this, pipe, lane.reply.framed);
      if (!this.#referenced) this.#transport.unref();
      return false;
    }
    this.#transport = undefined;
    if (lane.pipe !== undefined) return false;
    giveHandle(this, lane.handle, lane.carrier);
    if (!this.#referenced) super.unref();
    this.#lineBytesRead = lane.handle.bytesRead;
    this.#lineBytesWritten = lane.handle.bytesWritten;
    // A native reader that takes the handle when it hears of the connection finds these bytes in the buffer; a
    // listener for `data` must not get them before `secureConnect`.
    const headLater = this.readableFlowing === true || this.#feeder !== undefined;
    if (lane.head.length > 0 && !headLater) this.push(lane.head);
    return headLater;
  }

  /** Events of a session that was open before; one that took its time has told them already. */
  #emitOpenEvents(events: readonly OpenEvent[]): void {
    for (const event of events) this.laneOnOpenEvent(event);
    if (this.connecting) this.laneOnOpenEvent(['connect', []]);
  }

  #fail(error: Error): void {
    if (this.destroyed) return;
    const wire = error instanceof LaneRefusal ? error.reply.error : undefined;
    const failure = wire === undefined ? error : rebuildError(wire);
    if (this.#options.fallBack !== undefined && ALLOWS_FALLBACK.has(codeOf(failure))) {
      this.#fallBack(this.#options.fallBack, failure);
      return;
    }
    this.sharing.reason = failure.message;
    (this as { connecting: boolean }).connecting = false;
    // node:tls tells why the certificate was refused here too.
    if (typeof wire?.authorizationError === 'string') this.authorizationError = wire.authorizationError;
    const peerEnded = wire?.code === 'ECONNRESET' && wire.syscall === undefined;
    if (this.destroyed || !peerEnded) {
      this.destroy(failure);
      return;
    }
    // The peer ended in the middle of the handshake: node:tls makes its error of that end, which comes first.
    this.prependOnceListener('end', () => this.destroy(failure));
    super.push(null);
    this.read(0);
  }

  #fallBack(connect: () => TLSSocket, cause: Error): void {
    this.sharing.reason = cause.message;
    this.#phase = 'in-process';
    this.#transport = new InProcessTransport(this, connect());
    if (!this.#referenced) this.#transport.unref();
    this.applySettings(this.#settings);
    this.#holding?.run();
  }

  #applyLaneEof(): void {
    if (this.destroyed) return;
    const { rc, error } = this.#ending.known ?? {};
    if (rc !== 0 && !isRecordLayerError(error)) {
      this.destroy(error);
      return;
    }
    // After an error of the record layer node:tls leaves the socket to the application and to the peer's end.
    if (error !== undefined) this.emit('error', error);
    if (this.destroyed) return;
    super.push(null);
    this.read(0);
  }

  #sendLaneEnd(rc: 0 | -1): void {
    const isTold = this.#endSent === -1 || this.#endSent === rc;
    if (this.#lane === undefined || this.#phase === 'given-up' || isTold) return;
    this.#endSent = rc;
    endLane(this.#lane, rc, this.sentBytes);
  }
}

installTlsMembers(SharedSocket.prototype);
installSessionVerbs(SharedSocket.prototype);
