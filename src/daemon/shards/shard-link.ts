// A link from one daemon process to another of the same directory, as any client has one: the first supervises the others
// with it, and each tells the home of a name that it has it. Used by supervisor.ts and name-claims.ts.
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { TlshubError } from '../../errors.ts';
import { MessageConnection } from '../../link/message-connection.ts';
import { socketPath } from '../../link/socket-path.ts';
import { PROTOCOL_VERSION } from '../../protocol/limits.ts';
import { type LinkCallOf, type LinkReply, type linkCalls, parseLinkReply } from '../../protocol/messages.ts';
import { decodeError } from '../../protocol/wire-error.ts';
import { VERSION } from '../../version.ts';

type CallName = keyof typeof linkCalls;

/** Milliseconds in which another shard must have answered a call: it has nothing to wait for. */
const REPLY_MS = 10_000;

/** Told what happens to a link. */
export interface ShardLinkOwner {
  /** The other shard ends: it takes no new sessions. */
  shardOnDrain?(): void;
  /** The link is over, and with it, if nobody closed it, the other process. */
  shardOnLost(): void;
}

interface Pending {
  resolve(reply: LinkReply): void;
  reject(error: Error): void;
  timer: NodeJS.Timeout;
}

/** An open link to another shard. */
export class ShardLink {
  /** Process id of the other shard. */
  pid = 0;
  readonly #connection: MessageConnection;
  readonly #calls = new Map<number, Pending>();
  #nextCall = 1;
  #over = false;

  private constructor(directory: string, shard: number, owner: ShardLinkOwner) {
    this.#connection = new MessageConnection(connect(socketPath(directory, shard)), {
      connectionOnMessage: (message) => {
        if (message.event === 'drain') owner.shardOnDrain?.();
        else if ('reply' in message) this.#settle(parseLinkReply(message));
      },
      connectionOnClose: (reason) => {
        this.#over = true;
        const error = reason ?? new TlshubError('ERR_TLSHUB_DAEMON_LOST');
        for (const { reject, timer } of this.#calls.values()) {
          clearTimeout(timer);
          reject(error);
        }
        this.#calls.clear();
        owner.shardOnLost();
      },
    });
  }

  /**
   * Connects and says hello. Rejects with the system's error when nobody listens, and with ERR_TLSHUB_VERSION; the owner
   * may be told of the loss as well then.
   */
  static async open(directory: string, shard: number, owner: ShardLinkOwner): Promise<ShardLink> {
    const link = new ShardLink(directory, shard, owner);
    const process = randomBytes(16).toString('hex');
    const hello = { protocol: PROTOCOL_VERSION, process, pid: globalThis.process.pid, version: VERSION };
    const { pid } = await link.call('hello', hello);
    link.pid = Number(pid);
    return link;
  }

  /** Makes a call. Rejects with the other shard's error, or ERR_TLSHUB_DAEMON_LOST. */
  call<Name extends CallName>(name: Name, fields: Omit<LinkCallOf<Name>, 'call' | 'id'>): Promise<LinkReply> {
    return new Promise((resolve, reject) => {
      if (this.#over) {
        reject(new TlshubError('ERR_TLSHUB_DAEMON_LOST'));
        return;
      }
      const id = this.#nextCall++;
      const timer = setTimeout(() => {
        this.#calls.delete(id);
        reject(new TlshubError('ERR_TLSHUB_DAEMON_LOST', 'another process of the daemon does not answer'));
      }, REPLY_MS);
      this.#calls.set(id, { resolve, reject, timer });
      this.#connection.send({ call: name, id, ...fields });
    });
  }

  /** Ends the link. */
  close(): void {
    this.#connection.socket.end();
  }

  #settle(reply: LinkReply): void {
    const pending = this.#calls.get(reply.reply);
    if (pending === undefined) return;
    this.#calls.delete(reply.reply);
    clearTimeout(pending.timer);
    if (reply.error === undefined) pending.resolve(reply);
    else pending.reject(decodeError(reply.error));
  }
}
