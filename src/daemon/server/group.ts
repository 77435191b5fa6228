// A group: the workers that listen on one address with equal options, and the sessions that came in there. It gives
// each new session to one worker, and one that lost its worker to another; what nobody takes waits, up to a bound.
// ALWAYS: a session is offered to one worker at a time. NEVER: a session goes back to the worker that gave it up.
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { TlshubError } from '../../errors.ts';
import { TurnoverMap, TurnoverSet } from '../../link/turnover.ts';
import type { GroupSettings, ListenAddress, ServerKey } from '../../protocol/server-key.ts';
import { encodeError } from '../../protocol/wire-error.ts';
import type { LinkPeer } from '../link-peer.ts';
import type { NamedSession } from '../named/named-session.ts';
import type { Session, SessionHome } from '../session.ts';
import { dropConnection, sessionOf } from './accepted-session.ts';
import type { Acceptor, AcceptorOwner } from './acceptor.ts';
import type { GroupOptions, GroupServices } from './group-options.ts';
import { isOver, makeOffer, type Offer, tellFailure } from './offers.ts';
import { Questions } from './questions.ts';
import { ServerContexts } from './server-contexts.ts';
import type { Judgement } from './server-material.ts';
import { addressText, reportWorker, type ServerReport } from './server-report.ts';
import type { TicketKeyRing } from './ticket-keys.ts';
import type { TrunkLane } from './trunk-lane.ts';
import { type Worker, Workers } from './workers.ts';

/** Milliseconds in which a worker that is offered something must show that it is alive; else another gets it. */
const OFFER_TIMEOUT_MS = 2_000;

const LAST_CLOSED = 'its last worker has closed it';
const NOBODY_ADOPTS = 'its process went away, and no worker adopts its sessions';

/** One address and its workers. */
export class ServerGroup implements AcceptorOwner, SessionHome {
  readonly uid: number;
  /** As the first worker asked for it. */
  readonly requested: ListenAddress;
  readonly address: string | undefined;
  /** What the first worker gave, and what is in force now. */
  firstKey: ServerKey;
  key: ServerKey;
  settings: GroupSettings;
  acceptor: Acceptor | undefined;
  /** Certificates for server names. */
  readonly contexts = new ServerContexts();
  /** Keys of its session tickets, and what clients were judged by that they are given to. */
  tickets: TicketKeyRing;
  judgement: Judgement;
  /** What handshakes ask of the workers. */
  readonly questions = new Questions((asked) => this.#pick(false, asked));
  /** Handshakes that failed, and sessions that nobody could take. */
  readonly counters = { sessions: 0, failures: 0, refused: 0, adoptions: 0 };
  readonly #services: GroupServices;
  readonly #options: GroupOptions;
  readonly #workers = new Workers();
  /** New sessions that no worker was offered yet. */
  readonly #waiting = new TurnoverSet<Session>();
  /** Sessions that lost their worker, until another takes them. */
  readonly #orphans = new TurnoverMap<NamedSession, Worker | undefined>();
  readonly #offers = new TurnoverMap<Session, Offer>();
  readonly #held = new TurnoverMap<Session, Worker>();
  /** Sessions whose worker gives them back as it got them. */
  readonly #returned = new TurnoverMap<Session, Offer>();
  #emptySinceMs: number | undefined = Date.now();
  #ended = false;

  constructor(options: GroupOptions) {
    this.#options = options;
    this.#services = options.services;
    this.uid = options.uid;
    this.requested = options.requested;
    this.address = options.address;
    this.firstKey = options.key;
    this.key = options.key;
    this.settings = options.settings;
    this.tickets = options.tickets;
    this.judgement = options.judgement;
  }

  /** The workers now. */
  get workers(): Workers {
    return this.#workers;
  }

  /** Sessions that wait for a worker, new or left by one. */
  get waiting(): number {
    return this.#waiting.size + this.#orphans.size;
  }

  /** True once its port is closed for good. */
  get ended(): boolean {
    return this.#ended;
  }

  /** What the status tells of it. */
  report(): ServerReport {
    const { acceptor, counters, waiting, settings } = this;
    const address = acceptor === undefined ? null : addressText(acceptor.address);
    const workers = [...this.#workers].map(reportWorker);
    return { address, name: settings.name, workers, held: this.#held.size, waiting, ...counters };
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
    for (const [session, offer] of [...this.#offers]) {
      // What was offered on a trunk it may have taken before; it answers, or its trunk ends.
      if (offer.worker === worker && (worker.link.closed || !offer.isAnswered)) this.#revoke(session, offer);
    }
    if (this.#workers.size === 0) {
      if (!lingers) {
        this.end(LAST_CLOSED);
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
    this.closeWaiting(reason);
    this.#options.onEnded(this);
  }

  /** Closes the sessions that wait for a worker. */
  closeWaiting(reason: string): void {
    for (const session of [...this.#waiting]) {
      session.close(reason, 'orderly');
      // One with a life of its own would keep what it holds, for a reader.
      session.named?.close(reason);
    }
    this.#waiting.clear();
    for (const named of [...this.#orphans.keys()]) named.close(reason);
    this.#orphans.clear();
  }

  /** A worker says whether it adopts. */
  setAdopts(worker: Worker, adopts: boolean): void {
    worker.adopts = adopts;
    if (adopts) this.#serve();
  }

  /** A worker has shown that it is alive. */
  workerOnSign(worker: Worker): void {
    worker.signMs = Date.now();
    if (!worker.stalled) return;
    worker.stalled = false;
    this.questions.serve();
    this.#serve();
  }

  /** What is due: offers that were not taken, a port that nobody wants any more. */
  sweep(nowMs: number): void {
    this.questions.sweep(nowMs, OFFER_TIMEOUT_MS);
    for (const { worker, sinceMs } of this.#offers.values())
      if (nowMs - Math.max(sinceMs, worker.signMs) >= OFFER_TIMEOUT_MS) worker.stalled = true;
    for (const [session, offer] of [...this.#offers]) {
      // Who does not take one takes none; with nobody else it may still take them when it comes to itself.
      if (offer.worker.stalled && this.#workers.candidates(offer.adopted).length > 0)
        this.#revoke(session, offer);
    }
    this.#serve();
    if (this.#emptySinceMs !== undefined && nowMs - this.#emptySinceMs >= this.settings.linger)
      this.end('nobody listened for its linger');
  }

  /** A worker does not want what it was offered: a new session is closed, as a server at its limit does. */
  decline(link: LinkPeer, session: Session): void {
    const offer = this.#offers.get(session);
    if (offer?.worker.link !== link) return;
    this.#dropOffer(session, offer);
    if (offer.adopted && session.named !== undefined) {
      // Another one may have room for it; it waits for its linger.
      this.#services.handles.revoke(session);
      this.#orphans.set(session.named, offer.worker);
      this.#serve();
      return;
    }
    const reason = 'the worker declined it';
    session.close(reason, 'abrupt');
    session.named?.close(reason);
  }

  acceptorOnSecure(tls: TLSSocket): void {
    const { table, sessionOnClosed, log } = this.#services;
    const mustWait = this.#workers.candidates(false).length === 0;
    const isFull = mustWait && this.#waiting.size >= this.settings.backlog;
    if (isFull || table.size >= this.#services.maxSessions) {
      this.counters.refused += 1;
      log.once(
        'session refused',
        'warn',
        { address: this.acceptor?.address },
        'a session was refused: too many',
      );
      dropConnection(tls);
      return;
    }
    const session = sessionOf(tls, { id: table.nextId(), uid: this.uid }, (closed) => {
      table.move(closed, 'closed');
      closed.home?.sessionOnGone(closed);
      sessionOnClosed(closed);
    });
    if (session === undefined) return;
    session.home = this;
    table.add(session);
    this.counters.sessions += 1;
    this.#waiting.add(session);
    this.#serve();
  }

  acceptorOnClientError(error: Error, socket: Socket): void {
    this.counters.failures += 1;
    const worker = this.#pick(false);
    if (worker !== undefined) tellFailure(worker, error, socket);
    // node:tls leaves it to the application to destroy the socket; this one has nobody else.
    socket.destroy();
  }

  acceptorOnRefusal(error: Error): void {
    this.counters.refused += 1;
    const where = { address: this.acceptor?.address, reason: error.message };
    this.#services.log.once('accept', 'warn', where, 'a connection could not be accepted');
  }

  acceptorOnError(error: Error): void {
    for (const worker of this.#workers)
      worker.link.send({ event: 'listener-end', listener: worker.listener, error: encodeError(error) });
    this.#workers.clear();
    this.end(`its port failed: ${error.message}`);
  }

  sessionOnLeased(session: Session, link: LinkPeer | undefined): void {
    const offer = this.#offers.get(session);
    // Somebody may have taken it by its name.
    this.#waiting.delete(session);
    if (session.named !== undefined) this.#orphans.delete(session.named);
    if (offer === undefined || offer.worker.link !== link) {
      if (offer !== undefined) this.#dropOffer(session, offer);
      this.#release(session);
      return;
    }
    this.#offers.delete(session);
    this.#held.set(session, offer.worker);
    this.workerOnSign(offer.worker);
  }

  sessionOnUnheld(named: NamedSession): void {
    const { session } = named;
    const last = this.#release(session);
    const returned = this.#returned.get(session);
    if (this.#returned.delete(session) && returned !== undefined && !this.#ended && !isOver(named)) {
      session.leases -= 1;
      this.#waitAgain(session, returned);
      this.#serve();
      return;
    }
    if (session.away || isOver(named) || named.waiting > 0) return;
    if (this.#ended) {
      const successor = this.#options.successorOf(this);
      session.home = successor;
      if (successor === undefined) named.close(NOBODY_ADOPTS);
      else successor.#orphan(named, last);
      return;
    }
    this.#orphan(named, last);
  }

  sessionOnGone(session: Session): void {
    const { named } = session;
    // One with a life of its own may still hold something for a worker; it is told again when that is over.
    if (named !== undefined && !isOver(named)) return;
    this.#returned.delete(session);
    this.#release(session);
    const offer = this.#offers.get(session);
    if (offer !== undefined) this.#dropOffer(session, offer);
    const wasWaiting = this.#waiting.delete(session);
    if (named === undefined) return;
    const wasOrphan = this.#orphans.delete(named);
    if (offer !== undefined || wasWaiting || wasOrphan) named.close('its peer has gone away');
  }

  #orphan(named: NamedSession, last: Worker | undefined): void {
    // Who said that its sessions survive may leave them to workers that do adopt.
    if (last !== undefined && !(last.survive ?? last.adopts)) {
      named.close(NOBODY_ADOPTS);
      return;
    }
    this.#orphans.set(named, last);
    this.#serve();
  }

  /** Offers what waits to whom it may be offered. */
  #serve(): void {
    for (const [named, last] of this.#orphans) {
      const worker = this.#pick(true, last && new Set([last]));
      if (worker === undefined) continue;
      this.#orphans.delete(named);
      this.counters.adoptions += 1;
      this.#offer(named.session, worker, true, last);
    }
    for (const session of this.#waiting) {
      const worker = this.#pick(false);
      if (worker === undefined) return;
      this.#waiting.delete(session);
      this.#prepare(session, worker);
      this.#offer(session, worker, false);
    }
  }

  /** A session that is to outlive its worker gets a life of its own before anybody has it. */
  #prepare(session: Session, worker: Worker): void {
    if (session.named !== undefined || !(worker.survive ?? worker.adopts)) return;
    // However short its linger is, it is not over before the worker could have taken the session.
    const lingerMs = Math.max(this.settings.linger, OFFER_TIMEOUT_MS);
    this.#services.names.adopt(session, null, {
      mode: 'exclusive',
      messages: 'chunk',
      lingerMs,
      endsWithDestroy: true,
    });
  }

  #offer(session: Session, worker: Worker, adopted: boolean, last?: Worker): void {
    worker.load += 1;
    const offer = makeOffer(session, { worker, adopted, last }, this.#services.handles, {
      offerOnTaken: (lane) => this.#give(session, offer, lane),
      offerOnDeclined: () => {
        worker.hasClosed = true;
        this.#revokeAndServe(session, offer);
      },
      offerOnLost: () => this.#revokeAndServe(session, offer),
    });
    this.#offers.set(session, offer);
  }

  /** A worker has taken on its trunk what it was offered there. */
  #give(session: Session, offer: Offer, lane: TrunkLane): void {
    const { named } = session;
    // Somebody may be taking it by its name.
    if (named === undefined || named.busy) {
      lane.refuse();
      return;
    }
    lane.onReturned = () => void this.#returned.set(session, offer);
    this.#services.openOnTrunk(named, lane, offer.worker.socket);
  }

  /** Takes an offer back; the session waits again. */
  #revoke(session: Session, offer: Offer): void {
    this.#dropOffer(session, offer);
    this.#services.handles.revoke(session);
    this.#waitAgain(session, offer);
  }

  #revokeAndServe(session: Session, offer: Offer): void {
    if (this.#offers.get(session) === offer) this.#revoke(session, offer);
    this.#serve();
  }

  #waitAgain(session: Session, offer: Offer): void {
    if (offer.adopted && session.named !== undefined) this.#orphans.set(session.named, offer.last);
    else this.#waiting.add(session);
    if (this.#ended) this.closeWaiting(LAST_CLOSED);
  }

  #dropOffer(session: Session, offer: Offer): void {
    if (!this.#offers.delete(session)) return;
    offer.worker.load -= 1;
    offer.withdraw();
  }

  #pick(adopted: boolean, except?: ReadonlySet<Worker>): Worker | undefined {
    return this.#workers.pick(this.settings.balance, adopted, except);
  }

  #release(session: Session): Worker | undefined {
    const worker = this.#held.get(session);
    if (this.#held.delete(session) && worker !== undefined) worker.load -= 1;
    return worker;
  }
}
