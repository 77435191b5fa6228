// Opens a lane: connects, sends the request line, reads the reply line, and hands over the handle with the bytes that
// came behind the line. It starts the daemon when none answers, sends a CA list that the daemon lacks, and tries again
// when a daemon goes away before it has replied: nothing of the application's was sent until then.
import type { Socket } from 'node:net';
import { codeOf, messageOf, TlshubError } from '../errors.ts';
import { PROTOCOL_VERSION } from '../protocol/limits.ts';
import { decodeLine, LineDecoder, lineText } from '../protocol/line-codec.ts';
import { type LaneReply, type OpenEvent, parseOpenEvent } from '../protocol/messages.ts';
import type { SessionKey } from '../protocol/session-key.ts';
import type { CommitKind } from '../protocol/session-name.ts';
import { MAX_SHARDS } from '../protocol/shard.ts';
import { DaemonLink } from './daemon-link.ts';
import { connectToDaemon, MAX_ATTEMPTS, meansNoDaemon, meansTryAgain, pauseIfBusy } from './daemon-socket.ts';
import { knownReply, readReply } from './known-replies.ts';
import { type StreamHandle, takeHandle } from './lane-handle.ts';
import type { LaneEnd, LaneHolder } from './link-holders.ts';
import type { SocketSettings } from './resolve-request.ts';
import type { TrunkPipe } from './server/trunk-pipe.ts';
import { forgetShardCount, shardFor } from './shards.ts';
import type { NamedSettings } from './sharing-options.ts';

/** What a lane is wanted for. */
export type LaneTarget = { waitMs: number; socket: SocketSettings } & (
  | { call: 'lease'; key: SessionKey; caBlob: () => Buffer | undefined; named: NamedSettings | undefined }
  | {
      call: 'attach';
      handle: string;
      commit: CommitKind | undefined;
      /** The link to which the handle was offered, and no other; default the process's. */
      link?: DaemonLink;
    }
);

/** A lane that is open: the session's bytes, or frames, from here on. */
export type OpenLane = OpenSession & (OwnLane | { pipe: TrunkPipe });

/** A connection of its own. */
interface OwnLane {
  pipe?: undefined;
  carrier: Socket;
  handle: StreamHandle;
}

interface OpenSession {
  /** Bytes of the session that came in the same chunk as the reply. */
  head: Buffer;
  link: DaemonLink;
  lane: number;
  reply: Extract<LaneReply, { rc: 1 }>;
  /** From now on the holder is told what the daemon says about the lane, beginning with what it has said already. */
  tellNews(): void;
}

/** The daemon's answer was no: the reply with Node's or tlshub's error, and the events before it. */
export class LaneRefusal extends Error {
  readonly reply: Extract<LaneReply, { rc: -1 }>;
  readonly code: string | undefined;

  constructor(reply: Extract<LaneReply, { rc: -1 }>) {
    super(reply.error.message);
    this.reply = reply;
    this.code = reply.error.code;
  }
}

/** Keeps what a link says about a lane until the lane is open; of an attempt that failed, nobody is told. */
class HeldNews implements LaneHolder {
  readonly #holder: LaneHolder;
  #held: (() => void)[] | undefined = [];

  constructor(holder: LaneHolder) {
    this.#holder = holder;
  }

  linkOnLaneEnd(end: LaneEnd): void {
    this.#tellOrHold(() => this.#holder.linkOnLaneEnd(end));
  }

  linkOnTicket(ticket: Buffer): void {
    this.#tellOrHold(() => this.#holder.linkOnTicket(ticket));
  }

  linkOnDrain(): void {
    this.#tellOrHold(() => this.#holder.linkOnDrain());
  }

  tell(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const run of held) run();
  }

  #tellOrHold(run: () => void): void {
    if (this.#held === undefined) run();
    else this.#held.push(run);
  }
}

/** Refusals after which the same request may be served. */
const ASKS_AGAIN: ReadonlySet<string | undefined> = new Set([
  'ERR_TLSHUB_BLOB_MISSING',
  'ERR_TLSHUB_DRAINING',
  'ERR_TLSHUB_OTHER_SHARD',
]);

/** Milliseconds before the second attempt at a shard that another one names; each further one waits longer. */
const REDIRECT_PAUSE_MS = 5;

/** Who wants a lane. */
export interface LaneRequester extends LaneHolder {
  /** node:tls emitted something in the daemon while the session is opened. */
  laneOnOpenEvent(event: OpenEvent): void;
}

/** One opening; `lane` settles once. */
export class LaneOpening {
  /** Rejects with {@link LaneRefusal}, or with a TlshubError when no daemon can be used. */
  readonly lane: Promise<OpenSession & OwnLane>;
  readonly #directory: string;
  readonly #target: LaneTarget;
  readonly #holder: LaneRequester;
  #carrier: Socket | undefined;
  #link: DaemonLink | undefined;
  #referenced = true;
  #aborted = false;
  #told = false;

  /**
   * @param directory the daemon's
   * @param target what the lane is wanted for
   * @param holder told what the daemon says about the lane
   */
  constructor(directory: string, target: LaneTarget, holder: LaneRequester) {
    this.#directory = directory;
    this.#target = target;
    this.#holder = holder;
    this.lane = this.#run().catch((error: unknown) => {
      throw asOurs(error);
    });
  }

  /** The opening does not, or does again, keep the process alive. */
  reference(referenced: boolean): void {
    if (this.#referenced === referenced) return;
    this.#referenced = referenced;
    if (referenced) {
      this.#link?.holdProcess();
      this.#carrier?.ref();
    } else {
      this.#link?.letProcessExit();
      this.#carrier?.unref();
    }
  }

  /** The lane is not wanted any more; its promise may never settle. */
  abort(): void {
    this.#aborted = true;
    this.#carrier?.destroy();
  }

  async #run(): Promise<OpenSession & OwnLane> {
    let blobSentBy: DaemonLink | undefined;
    let toldShard: number | undefined;
    for (let attempt = 1; ; attempt++) {
      const target = this.#target;
      const own = target.call === 'attach' ? target.link : undefined;
      const link =
        own ?? DaemonLink.for(this.#directory, true, toldShard ?? shardFor(this.#directory, target));
      this.#hold(link);
      const news = new HeldNews(this.#holder);
      const lane = link.addLane(news);
      try {
        return await this.#attempt(link, lane, news);
      } catch (failure) {
        let error = failure;
        link.removeLane(lane);
        // Once the application was told of a connection, a second one would be told twice.
        if (this.#aborted || this.#told || own !== undefined) throw error;
        try {
          if (await this.#sendMissingBlob(error, link, blobSentBy)) {
            // The daemon answers: this was no attempt that failed. The next daemon may have to be told again.
            blobSentBy = link;
            attempt -= 1;
            continue;
          }
        } catch (sendError) {
          error = sendError;
        }
        if (attempt === MAX_ATTEMPTS) throw error;
        // What the peer refused is not tried again, whatever its code.
        if (error instanceof LaneRefusal && !ASKS_AGAIN.has(error.code)) throw error;
        toldShard = undefined;
        if (codeOf(error) === 'ERR_TLSHUB_OTHER_SHARD') {
          toldShard = shardIn(error);
          forgetShardCount(this.#directory);
          await new Promise((resolve) => setTimeout(resolve, REDIRECT_PAUSE_MS * (attempt - 1)));
        } else if (meansNoDaemon(error)) {
          // The link starts the daemon; when it found one that has gone since, the next link will.
          await link.ready.catch(unlessLost);
          if (link.lost) link.forget();
        } else if (meansTryAgain(error) || codeOf(error) === 'ERR_TLSHUB_DRAINING') {
          await pauseIfBusy(error, attempt);
          if (codeOf(error) !== 'EAGAIN') link.forget();
        } else {
          throw error;
        }
      } finally {
        this.#hold(undefined);
      }
    }
  }

  /** Sends the CA list that the daemon lacks; false when that is not what failed, or it was sent on this link before. */
  async #sendMissingBlob(error: unknown, link: DaemonLink, sentBy: DaemonLink | undefined): Promise<boolean> {
    const target = this.#target;
    if (codeOf(error) !== 'ERR_TLSHUB_BLOB_MISSING' || target.call !== 'lease' || sentBy === link)
      return false;
    const blob = target.caBlob();
    if (blob !== undefined) await link.putBlob(target.key.ca, blob);
    return blob !== undefined;
  }

  #hold(link: DaemonLink | undefined): void {
    if (this.#referenced) this.#link?.letProcessExit();
    this.#link = link;
    if (this.#referenced) link?.holdProcess();
  }

  #attempt(link: DaemonLink, lane: number, news: HeldNews): Promise<OpenSession & OwnLane> {
    return new Promise((resolve, reject) => {
      const carrier = connectToDaemon(this.#directory, {
        allowHalfOpen: true,
        shard: link.shard,
        // The link of the offer is open: what was checked for it has not changed.
        checked: this.#target.call === 'attach' && this.#target.link !== undefined,
      });
      this.#carrier = carrier;
      if (!this.#referenced) carrier.unref();
      carrier.on('error', reject);
      carrier.on('close', () => reject(new TlshubError('ERR_TLSHUB_DAEMON_LOST')));
      carrier.on('end', () => carrier.destroy());
      carrier.write(lineText(this.#request(link, lane)));
      const decoder = new LineDecoder();
      carrier.on('data', (chunk: Buffer) => {
        try {
          decoder.push(chunk);
          const reply = this.#readReply(decoder);
          if (reply === undefined) return;
          if (reply.rc === -1) {
            carrier.destroy();
            reject(new LaneRefusal(reply));
            return;
          }
          const head = decoder.takeRest();
          // Without its handle it would keep a listener for each later `ref` and `unref`.
          this.#carrier = undefined;
          resolve({
            carrier,
            handle: takeHandle(carrier),
            head,
            link,
            lane,
            reply,
            tellNews: () => news.tell(),
          });
        } catch (error) {
          carrier.destroy();
          reject(error);
        }
      });
    });
  }

  /** The reply, when it has come; the holder is told of the events before it. */
  #readReply(decoder: LineDecoder): LaneReply | undefined {
    for (let line = decoder.next(); line !== undefined; line = decoder.next()) {
      const known = knownReply(line);
      if (known !== undefined) return known;
      const message = decodeLine(line);
      if (!('event' in message)) return readReply(line, message);
      const { name, args } = parseOpenEvent(message);
      this.#told = true;
      this.#holder.laneOnOpenEvent([name, args]);
    }
    return undefined;
  }

  #request(link: DaemonLink, lane: number): object {
    const target = this.#target;
    return {
      call: target.call,
      protocol: PROTOCOL_VERSION,
      process: link.processId,
      lane,
      pid: process.pid,
      ...(target.call === 'lease'
        ? { key: target.key, named: target.named }
        : { handle: target.handle, commit: target.commit }),
      wait: target.waitMs,
      socket: target.socket,
    };
  }
}

/** The shard that a refusal names. */
function shardIn(error: unknown): number | undefined {
  const shard = error instanceof LaneRefusal ? error.reply.error.shard : undefined;
  return typeof shard === 'number' && Number.isInteger(shard) && shard >= 0 && shard < MAX_SHARDS
    ? shard
    : undefined;
}

/** Failures of the Unix socket are tlshub's own trouble: an application knows their codes as those of its peer. */
function asOurs(error: unknown): unknown {
  if (error instanceof LaneRefusal || error instanceof TlshubError) return error;
  const message = `the daemon cannot be used: ${messageOf(error)}`;
  return new TlshubError('ERR_TLSHUB_DAEMON_UNREACHABLE', message, { cause: error });
}

/** A link that broke is made again by the next attempt; one that cannot be made is the caller's error. */
function unlessLost(error: unknown): void {
  if (!meansTryAgain(error)) throw error;
}
