// A group: the workers that listen on one address with equal options, and the sessions that came in there. It gives
// each new session to one worker, and one that lost its worker to another; what nobody takes waits, up to a bound.
// ALWAYS: a session is offered to one worker at a time. NEVER: a session goes back to the worker that gave it up.
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { TlshubError } from '../../errors.ts';
import type { GroupSettings, ListenAddress, ServerKey } from '../../protocol/server-key.ts';
import { encodeError } from '../../protocol/wire-error.ts';
import type { Handles } from '../handles.ts';
import type { LinkPeer } from '../link-peer.ts';
import type { Logger } from '../log.ts';
import type { NamedSession } from '../named/named-session.ts';
import type { Names } from '../named/names.ts';
import { Session, type SessionHome } from '../session.ts';
import type { SessionTable } from '../session-table.ts';
import { describeTls } from '../tls-info.ts';
import type { Acceptor, AcceptorOwner } from './acceptor.ts';
import { Questions } from './questions.ts';
import { ServerContexts } from './server-contexts.ts';
import type { TicketKeyRing } from './ticket-keys.ts';
import type { Worker as AnyWorker } from './worker.ts';

/** A worker that is linked to this daemon. */
export type Worker = AnyWorker<LinkPeer>;

/** What a group works on. */
export interface GroupServices {
  table: SessionTable;
  names: Names;
  handles: Handles;
  log: Logger;
  /** Most sessions of one uid. */
  maxSessions: number;
  /** Called once for each session that is gone. */
  sessionOnClosed(session: Session): void;
}

interface GroupOptions {
  uid: number;
  requested: ListenAddress;
  key: ServerKey;
  settings: GroupSettings;
  tickets: TicketKeyRing;
  services: GroupServices;
  /** The group has closed its port for good. */
  onEnded(group: ServerGroup): void;
  /** The group that listens there now, when this one has ended. */
  successorOf(group: ServerGroup): ServerGroup | undefined;
}

interface Offer {
  worker: Worker;
  sinceMs: number;
  adopted: boolean;
}

/** Milliseconds in which a worker takes what it is offered; else another gets it. */
const OFFER_TIMEOUT_MS = 2_000;

const NOBODY_ADOPTS = 'its process went away, and no worker adopts its sessions';

/** One address and its workers. */
export class ServerGroup implements AcceptorOwner, SessionHome {
  readonly uid: number;
  /** As the first worker asked for it. */
  readonly requested: ListenAddress;
  /** What the first worker gave, and what is in force now. */
  readonly firstKey: ServerKey;
  key: ServerKey;
  settings: GroupSettings;
  acceptor: Acceptor | undefined;
  /** Certificates for server names. */
  readonly contexts = new ServerContexts();
  /** Keys of its session tickets. */
  readonly tickets: TicketKeyRing;
  /** What handshakes ask of the workers. */
  readonly questions = new Questions(() => this.#pick(() => true));
  /** Handshakes that failed, and sessions that nobody could take. */
  readonly counters = { sessions: 0, failures: 0, refused: 0, adoptions: 0 };
  readonly #services: GroupServices;
  readonly #options: GroupOptions;
  readonly #workers = new Set<Worker>();
  /** New sessions that no worker was offered yet. */
  readonly #waiting = new Set<Session>();
  /** Sessions that lost their worker, until another takes them. */
  readonly #orphans = new Map<NamedSession, Worker | undefined>();
  readonly #offers = new Map<Session, Offer>();
  readonly #held = new Map<Session, Worker>();
  #emptySinceMs: number | undefined = Date.now();
  #ended = false;
  #turn = 0;

  constructor(options: GroupOptions) {
    this.#options = options;
    this.#services = options.services;
    this.uid = options.uid;
    this.requested = options.requested;
    this.firstKey = options.key;
    this.key = options.key;
    this.settings = options.settings;
    this.tickets = options.tickets;
  }

  /** The workers now. */
  get workers(): ReadonlySet<Worker> {
    return this.#workers;
  }

  /** Sessions that wait for a worker, new or left by one. */
  get waiting(): number {
    return this.#waiting.size + this.#orphans.size;
  }

  /** Sessions that workers hold. */
  get heldCount(): number {
    return this.#held.size;
  }

  /** Takes a worker in; it is served at once. */
  join(worker: Worker, settings: GroupSettings): void {
    this.settings = settings;
    this.#workers.add(worker);
    this.#emptySinceMs = undefined;
    this.questions.serve();
    this.#serve();
  }

  /**
   * A worker takes no more sessions; those that it has not taken yet go to others.
   * @param lingers whether the port stays for a time when this was the last one
   */
  leave(worker: Worker, lingers: boolean): void {
    if (!this.#workers.delete(worker)) return;
    this.questions.leave(worker);
    for (const [session, offer] of [...this.#offers])
      if (offer.worker === worker) this.#revoke(session, offer);
    if (this.#workers.size === 0) {
      if (!lingers) {
        this.end('its last worker has closed it');
        return;
      }
      this.#emptySinceMs = Date.now();
    }
    this.#serve();
  }

  /** Closes the port, and what nobody has taken; the sessions of workers live on. */
  end(reason: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#services.log.info({ address: this.acceptor?.address, reason }, 'a port is closed');
    this.acceptor?.close();
    this.questions.end(new TlshubError('ERR_TLSHUB_CLOSED', reason));
    for (const session of this.#waiting) session.close(reason, 'orderly');
    for (const named of [...this.#orphans.keys()]) named.close(reason);
    this.#options.onEnded(this);
  }

  /** A worker says whether it adopts. */
  setAdopts(worker: Worker, adopts: boolean): void {
    worker.adopts = adopts;
    if (adopts) this.#serve();
  }

  /** What is due: offers that were not taken, a port that nobody wants any more. */
  sweep(nowMs: number): void {
    for (const [session, offer] of [...this.#offers]) {
      if (nowMs - offer.sinceMs < OFFER_TIMEOUT_MS) continue;
      offer.worker.stalled = true;
      if (this.#pick((worker) => !offer.adopted || worker.adopts) !== undefined) this.#revoke(session, offer);
    }
    for (const named of this.#orphans.keys()) if (named.isSpent) this.#orphans.delete(named);
    this.#serve();
    if (this.#emptySinceMs !== undefined && nowMs - this.#emptySinceMs >= this.settings.linger)
      this.end('nobody listened for its linger');
  }

  /** A worker does not want what it was offered. */
  decline(link: LinkPeer, session: Session): void {
    const offer = this.#offers.get(session);
    if (offer?.worker.link !== link) return;
    session.close('the worker declined it', 'abrupt');
  }

  acceptorOnSecure(tls: TLSSocket): void {
    const { table, sessionOnClosed, log } = this.#services;
    const bound = this.#workers.size === 0 ? this.settings.backlog : Number.POSITIVE_INFINITY;
    if (this.#waiting.size >= bound || table.size >= this.#services.maxSessions) {
      this.counters.refused += 1;
      log.once(
        'session refused',
        'warn',
        { address: this.acceptor?.address },
        'a session was refused: too many',
      );
      tls.on('error', () => {});
      tls.destroy();
      return;
    }
    const session = new Session(
      {
        id: table.nextId(),
        uid: this.uid,
        side: 'server',
        peer: tls.remoteAddress === undefined ? 'unix' : `${tls.remoteAddress}:${tls.remotePort}`,
        key: null,
        owner: '',
        tls,
        info: describeTls(tls),
        openEvents: [],
      },
      (closed) => {
        table.move(closed, 'closed');
        this.#forget(closed);
        sessionOnClosed(closed);
      },
    );
    session.state = 'waiting';
    session.home = this;
    table.add(session);
    this.counters.sessions += 1;
    this.#waiting.add(session);
    this.#serve();
  }

  acceptorOnClientError(error: Error, socket: Socket): void {
    this.counters.failures += 1;
    const worker = this.#pick(() => true);
    worker?.link.send({
      event: 'client-error',
      listener: worker.listener,
      error: encodeError(error),
      remoteAddress: socket.remoteAddress ?? null,
      remotePort: socket.remotePort ?? null,
      remoteFamily: socket.remoteFamily ?? null,
    });
    // node:tls leaves it to the application to destroy the socket; this one has nobody else.
    socket.destroy();
  }

  acceptorOnError(error: Error): void {
    for (const worker of this.#workers)
      worker.link.send({ event: 'listener-end', listener: worker.listener, error: encodeError(error) });
    this.#workers.clear();
    this.end(`its port failed: ${error.message}`);
  }

  sessionOnLeased(session: Session, link: LinkPeer | undefined): void {
    const offer = this.#offers.get(session);
    this.#offers.delete(session);
    if (offer === undefined || offer.worker.link !== link) {
      if (offer !== undefined) offer.worker.load -= 1;
      this.#release(session);
      return;
    }
    offer.worker.stalled = false;
    this.#held.set(session, offer.worker);
  }

  sessionOnUnheld(named: NamedSession): void {
    const { session } = named;
    const last = this.#release(session);
    if (session.away || named.isSpent || named.waiting > 0) return;
    if (this.#ended) {
      const successor = this.#options.successorOf(this);
      session.home = successor;
      if (successor === undefined) named.close(NOBODY_ADOPTS);
      else successor.#orphan(named, last);
      return;
    }
    this.#orphan(named, last);
  }

  #orphan(named: NamedSession, last: Worker | undefined): void {
    if (last?.adopts === false) {
      named.close(NOBODY_ADOPTS);
      return;
    }
    this.#orphans.set(named, last);
    this.#serve();
  }

  /** Offers what waits to whom it may be offered. */
  #serve(): void {
    for (const [named, last] of this.#orphans) {
      const worker = this.#pick((one) => one.adopts && one !== last);
      if (worker === undefined) continue;
      this.#orphans.delete(named);
      if (named.isSpent) continue;
      this.counters.adoptions += 1;
      this.#offer(named.session, worker, true);
    }
    for (const session of this.#waiting) {
      const worker = this.#pick(() => true);
      if (worker === undefined) return;
      this.#waiting.delete(session);
      this.#prepare(session, worker);
      this.#offer(session, worker, false);
    }
  }

  /** A session that is to outlive its worker gets a life of its own before anybody has it. */
  #prepare(session: Session, worker: Worker): void {
    if (session.named !== undefined || !(worker.survive ?? worker.adopts)) return;
    const lingerMs = this.settings.linger;
    this.#services.names.adopt(session, null, {
      mode: 'exclusive',
      messages: 'chunk',
      lingerMs,
      endsWithDestroy: true,
    });
  }

  #offer(session: Session, worker: Worker, adopted: boolean): void {
    worker.load += 1;
    this.#offers.set(session, { worker, sinceMs: Date.now(), adopted });
    const handle = this.#services.handles.issue(session);
    worker.link.send({ event: 'offer', listener: worker.listener, handle, adopted });
  }

  /** Takes an offer back; the session waits again. */
  #revoke(session: Session, { worker, adopted }: Offer): void {
    this.#offers.delete(session);
    worker.load -= 1;
    this.#services.handles.revoke(session);
    if (adopted && session.named !== undefined) this.#orphans.set(session.named, undefined);
    else this.#waiting.add(session);
  }

  /** The worker that is next, of those that may have it. */
  #pick(mayHave: (worker: Worker) => boolean): Worker | undefined {
    const eligible = [...this.#workers].filter(
      (worker) => !worker.link.closed && !worker.stalled && mayHave(worker),
    );
    if (this.settings.balance === 'round-robin') {
      this.#turn += 1;
      return eligible[this.#turn % eligible.length];
    }
    let best: Worker | undefined;
    for (const worker of eligible) if (best === undefined || worker.load < best.load) best = worker;
    return best;
  }

  #release(session: Session): Worker | undefined {
    const worker = this.#held.get(session);
    if (this.#held.delete(session) && worker !== undefined) worker.load -= 1;
    return worker;
  }

  #forget(session: Session): void {
    this.#waiting.delete(session);
    this.#release(session);
    const offer = this.#offers.get(session);
    // A session with a life of its own may still hold something for the worker that it was offered to.
    if (offer === undefined || session.named !== undefined) return;
    this.#offers.delete(session);
    offer.worker.load -= 1;
  }
}
