// All groups of the daemon by address: opens a port or lets a worker join the group that has it, as the calls of
// PROTOCOL.md ask, and forgets the workers of a process that is gone.
import type { TlsOptions } from 'node:tls';
import { messageOf, TlshubError } from '../../errors.ts';
import type { LinkCallOf } from '../../protocol/messages.ts';
import type { ServerKey } from '../../protocol/server-key.ts';
import type { ContextKey } from '../../protocol/session-key.ts';
import type { Contexts } from '../contexts/contexts.ts';
import type { LinkPeer } from '../link-peer.ts';
import { clearOpensslErrors } from '../openssl-errors.ts';
import { Acceptor, type BoundAddress } from './acceptor.ts';
import {
  ADDRESS_FLAGS,
  addressInUse,
  isCompatible,
  isExclusive,
  isSameAddress,
  textOf,
} from './addresses.ts';
import { ServerGroup } from './group.ts';
import type { GroupServices } from './group-options.ts';
import type { HandshakeGate } from './handshake-gate.ts';
import { HandshakeQuestions } from './handshake-questions.ts';
import type { Answer } from './questions.ts';
import type { Judgement, ServerMaterial } from './server-material.ts';
import type { ServerReport } from './server-report.ts';
import { TicketKeyRing } from './ticket-keys.ts';
import { TicketRings } from './ticket-rings.ts';
import type { Worker } from './workers.ts';

interface GroupsOptions extends GroupServices {
  material: ServerMaterial;
  contexts: Contexts;
  gate: HandshakeGate;
}

/** Every group. */
export class Groups {
  readonly #options: GroupsOptions;
  readonly #groups = new Set<ServerGroup>();
  readonly #rings = new TicketRings();
  /** Groups whose port is being opened, by what was asked for. */
  readonly #opening = new Map<string, Promise<ServerGroup>>();
  readonly #workers = new Map<LinkPeer, Map<number, { group: ServerGroup; worker: Worker }>>();
  #draining = false;

  constructor(options: GroupsOptions) {
    this.#options = options;
    options.contexts.onChange(({ changed }) => this.#contextsOnChange(new Set(changed)));
  }

  /** Groups with an open port. */
  all(): ReadonlySet<ServerGroup> {
    return this.#groups;
  }

  /**
   * Lets a worker join the group of an address, or opens the port. Rejects with Node's own errors of `listen` and of
   * tls.createServer, with EADDRINUSE when other workers listen there with other options, and with
   * ERR_TLSHUB_BLOB_MISSING, ERR_TLSHUB_DRAINING or ERR_TLSHUB_PROTOCOL.
   */
  async listen(link: LinkPeer, call: LinkCallOf<'listen'>): Promise<{ address: BoundAddress }> {
    if (this.#draining) throw new TlshubError('ERR_TLSHUB_DRAINING');
    const own = this.#workersOf(link);
    if (own.has(call.listener)) throw new TlshubError('ERR_TLSHUB_PROTOCOL', 'the listener number is in use');
    let group: ServerGroup;
    // Its last worker may close it before this one has joined.
    do group = await this.#groupFor(link.identity.uid, call);
    while (group.ended);
    if (own.has(call.listener)) throw new TlshubError('ERR_TLSHUB_PROTOCOL', 'the listener number is in use');
    const { listener, adopts, survive, socket } = call;
    const worker: Worker = {
      link,
      listener,
      adopts,
      survive,
      socket,
      load: 0,
      lastTurn: 0,
      signMs: 0,
      stalled: false,
      hasClosed: false,
    };
    if (!link.closed) {
      own.set(listener, { group, worker });
      group.join(worker, call.group);
    }
    return { address: group.acceptor?.address ?? '' };
  }

  /** Ends a worker's membership. Throws ERR_TLSHUB_PROTOCOL for a number that the link does not have. */
  unlisten(link: LinkPeer, listener: number, lingers: boolean): void {
    const { group, worker } = this.of(link, listener);
    this.#workers.get(link)?.delete(listener);
    group.leave(worker, lingers);
  }

  /** The group and the worker of a listener. Throws ERR_TLSHUB_PROTOCOL. */
  of(link: LinkPeer, listener: number): { group: ServerGroup; worker: Worker } {
    const found = this.#workers.get(link)?.get(listener);
    if (found === undefined) throw new TlshubError('ERR_TLSHUB_PROTOCOL', 'there is no such listener');
    return found;
  }

  /** An application has answered what a handshake asked. */
  linkOnAnswer(link: LinkPeer, answer: Answer): void {
    for (const group of this.#groups) if (group.questions.answer(link, answer)) return;
  }

  /** A process has said something: it is alive. */
  linkOnMessage(link: LinkPeer): void {
    for (const { group, worker } of this.#workers.get(link)?.values() ?? []) group.workerOnSign(worker);
  }

  /** A process is gone: its workers are. */
  linkOnClose(link: LinkPeer): void {
    const own = this.#workers.get(link);
    this.#workers.delete(link);
    for (const { group, worker } of own?.values() ?? []) group.leave(worker, true);
  }

  /** New certificates for a group; live sessions stay. Throws what node:tls throws of them, and changes nothing then. */
  setContext(group: ServerGroup, context: ContextKey): void {
    const key = { ...group.key, ...context };
    this.#applyContext(group, key, this.#options.material.contextOptions(context));
  }

  /** Keys of tickets that the application gives; without effect on other servers of the same address. */
  setTicketKeys(group: ServerGroup, keys: Uint8Array): void {
    const ring = new TicketKeyRing();
    try {
      ring.useFixed(keys);
    } catch (error) {
      ring.stop();
      throw error;
    }
    this.#useRing(group, ring);
    group.acceptor?.useTickets(ring);
  }

  /** A certificate for server names. Throws what node:tls throws of it. */
  addContext(group: ServerGroup, servername: string, context: ContextKey): void {
    group.contexts.add(servername, this.#options.material.makeContext(context));
    refuseForeignTickets(group);
  }

  /** What the status tells of every port. */
  reports(): ServerReport[] {
    return [...this.#groups].map((group) => group.report());
  }

  /** Enforces the limits of time. */
  sweep(nowMs: number): void {
    this.#options.gate.sweep(nowMs);
    for (const group of [...this.#groups]) group.sweep(nowMs);
  }

  /** Closes every port; the sessions that workers have may go on. */
  drain(): void {
    this.#draining = true;
    for (const group of [...this.#groups]) group.end('the daemon is shutting down');
  }

  /** The configuration was reloaded: servers that use what has changed take it for later handshakes. */
  #contextsOnChange(changed: ReadonlySet<string>): void {
    const { material, log } = this.#options;
    for (const group of this.#groups) {
      const { key, uid } = group;
      if (key.context === null || !changed.has(key.context)) continue;
      try {
        this.#applyContext(group, key, material.serverOptions(key, uid));
      } catch (error) {
        const reason = messageOf(error);
        log.error({ context: key.context, reason }, 'a server keeps the certificate that it had');
      }
    }
  }

  /** Live sessions stay, and tickets do where clients are judged as before. */
  #applyContext(group: ServerGroup, key: ServerKey, options: TlsOptions): void {
    const judgement = this.#options.material.judgementOf(key, group.uid);
    const isSame = judgement.text === group.judgement.text;
    const ring = isSame ? group.tickets : this.#ringOf(group, judgement, key.ticketKeys);
    try {
      group.acceptor?.setSecureContext(options, ring);
    } catch (error) {
      if (!isSame) this.#rings.release(ring);
      throw error;
    } finally {
      clearOpensslErrors();
    }
    group.judgement = judgement;
    group.key = key;
    if (!isSame) this.#useRing(group, ring);
  }

  #useRing(group: ServerGroup, ring: TicketKeyRing): void {
    const before = group.tickets;
    group.tickets = ring;
    refuseForeignTickets(group);
    this.#rings.release(before);
  }

  /** Keys of tickets for a server; nobody who judges otherwise has the same. */
  #ringOf(
    { uid, address }: Pick<ServerGroup, 'uid' | 'address'>,
    { text }: Judgement,
    ticketKeys: string | null,
  ): TicketKeyRing {
    const ring = this.#rings.ringOf(uid, ticketKeys === null ? address : undefined, text);
    if (ticketKeys !== null) ring.useFixed(Buffer.from(ticketKeys, 'base64'));
    return ring;
  }

  #workersOf(link: LinkPeer): Map<number, { group: ServerGroup; worker: Worker }> {
    let own = this.#workers.get(link);
    if (own === undefined) {
      own = new Map();
      this.#workers.set(link, own);
    }
    return own;
  }

  async #groupFor(uid: number, call: LinkCallOf<'listen'>): Promise<ServerGroup> {
    const asked = textOf(call);
    for (;;) {
      const opening = asked === undefined ? undefined : this.#opening.get(asked);
      // What became of another's attempt, this one finds out by itself.
      if (opening !== undefined) await opening.catch(() => {});
      else break;
    }
    const existing = this.#find(call);
    if (existing !== undefined) {
      if (existing.uid !== uid || isExclusive(call.address) || isExclusive(existing.requested))
        throw addressInUse(call.address, '');
      // A context may have been removed, or forbidden to this user, since the port was opened.
      this.#options.material.judgementOf(call.server, uid);
      this.#adjust(existing, call);
      // The names of workers that are gone are gone with them.
      if (existing.workers.size === 0) existing.contexts.clear();
      if (call.ticketKeys !== undefined) this.setTicketKeys(existing, Buffer.from(call.ticketKeys, 'base64'));
      for (const { servername, context } of call.contexts) this.addContext(existing, servername, context);
      return existing;
    }
    const opening = this.#open(uid, call);
    if (asked !== undefined) this.#opening.set(asked, opening);
    try {
      return await opening;
    } finally {
      if (asked !== undefined) this.#opening.delete(asked);
    }
  }

  #find({ address, group: { name } }: LinkCallOf<'listen'>): ServerGroup | undefined {
    for (const group of this.#groups) {
      if (name !== null && group.settings.name === name && isCompatible(address, group)) return group;
      if (isSameAddress(address, group)) return group;
    }
    return undefined;
  }

  /** A worker with the same options joins; one with others may, when it is alone, and brings them with it. */
  #adjust(group: ServerGroup, call: LinkCallOf<'listen'>): void {
    const { server: key, address } = call;
    const flags = ADDRESS_FLAGS.filter((name) => group.requested[name] !== address[name]);
    // Who is alone gets what it asks for, not what those before it have changed since.
    const isKnown = isEqual(group.key, key) || (group.workers.size > 0 && isEqual(group.firstKey, key));
    if (isKnown && flags.length === 0) return;
    if (group.workers.size > 0 || flags.length > 0) {
      const names = [...flags, ...(isKnown ? [] : differingNames(group.key, key))];
      const which = names.map((name) => `"${name}"`).join(', ');
      throw addressInUse(address, ` (other workers listen there with another ${which})`);
    }
    const { material } = this.#options;
    const options = material.serverOptions(key, group.uid);
    const judgement = material.judgementOf(key, group.uid);
    const outdates = judgement.demands !== '' && judgement.demands !== group.judgement.demands;
    const isSame = judgement.text === group.judgement.text && call.ticketKeys === undefined;
    const tickets = isSame
      ? group.tickets
      : this.#ringOf(group, judgement, call.ticketKeys ?? key.ticketKeys);
    try {
      group.acceptor?.replace({ options, questions: this.#questionsOf(group, key), tickets }, outdates);
    } catch (error) {
      if (!isSame) this.#rings.release(tickets);
      throw error;
    } finally {
      clearOpensslErrors();
    }
    if (outdates) group.closeWaiting('it was not verified as the server that listens now asks for');
    group.judgement = judgement;
    group.key = key;
    group.firstKey = key;
    if (!isSame) this.#useRing(group, tickets);
  }

  #questionsOf(group: ServerGroup, key: ServerKey): HandshakeQuestions {
    return new HandshakeQuestions({
      key,
      ask: (question, timeoutMs) => group.questions.ask(question, timeoutMs),
      find: (servername) => group.contexts.find(servername),
      makeContext: (context) => this.#options.material.makeContext(context),
    });
  }

  async #open(uid: number, call: LinkCallOf<'listen'>): Promise<ServerGroup> {
    const { address, server, group: settings, contexts } = call;
    const { material } = this.#options;
    const options = material.serverOptions(server, uid);
    const where = { uid, address: textOf(call) };
    const judgement = material.judgementOf(server, uid);
    const tickets = this.#ringOf(where, judgement, call.ticketKeys ?? server.ticketKeys);
    const group = new ServerGroup({
      ...where,
      requested: address,
      key: server,
      settings,
      tickets,
      judgement,
      services: this.#options,
      onEnded: (ended) => {
        this.#groups.delete(ended);
        this.#rings.release(ended.tickets);
      },
      successorOf: ({ uid: owner, requested }) =>
        [...this.#groups].find((other) => other.uid === owner && isSameAddress(requested, other)),
    });
    try {
      refuseForeignTickets(group);
      for (const { servername, context } of contexts) this.addContext(group, servername, context);
      const questions = this.#questionsOf(group, server);
      group.acceptor = await Acceptor.open(
        { options, gate: this.#options.gate, questions, tickets },
        address,
        group,
      );
    } catch (error) {
      this.#rings.release(tickets);
      throw error;
    } finally {
      clearOpensslErrors();
    }
    this.#groups.add(group);
    this.#options.log.info({ address: group.acceptor.address }, 'a port is open');
    return group;
  }
}

/**
 * A server that verifies its clients and has certificates for names takes no tickets: OpenSSL would take that of a client
 * that was verified for one name under another (as in CVE-2025-23419). Called whenever a group has other keys or names.
 */
function refuseForeignTickets({ key, contexts, tickets }: ServerGroup): void {
  if (key.requestCert && (key.asks.sni || contexts.size > 0)) tickets.refuseAll();
}

function isEqual(left: unknown, right: unknown): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}

function differingNames(left: ServerKey, right: ServerKey): string[] {
  return (Object.keys(right) as (keyof ServerKey)[]).filter((name) => !isEqual(left[name], right[name]));
}
