// All groups of the daemon by address: opens a port or lets a worker join the group that has it, as the calls of
// PROTOCOL.md ask, and forgets the workers of a process that is gone.
import { constants } from 'node:os';
import { messageOf, TlshubError } from '../../errors.ts';
import type { LinkCallOf } from '../../protocol/messages.ts';
import type { ListenAddress, ServerKey } from '../../protocol/server-key.ts';
import type { ContextKey } from '../../protocol/session-key.ts';
import type { Contexts } from '../contexts/contexts.ts';
import type { LinkPeer } from '../link-peer.ts';
import { clearOpensslErrors } from '../openssl-errors.ts';
import { Acceptor, type BoundAddress } from './acceptor.ts';
import { type GroupServices, ServerGroup } from './group.ts';
import type { HandshakeGate } from './handshake-gate.ts';
import { HandshakeQuestions } from './handshake-questions.ts';
import type { Answer } from './questions.ts';
import type { ServerMaterial } from './server-material.ts';
import type { ServerReport } from './server-report.ts';
import type { TicketKeyRing } from './ticket-keys.ts';
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
  #nextGroup = 1;

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
    try {
      group.acceptor?.setSecureContext(this.#options.material.contextOptions(context));
    } finally {
      clearOpensslErrors();
    }
    group.key = { ...group.key, ...context };
    this.#renewTickets(group);
  }

  /** A certificate for server names. Throws what node:tls throws of it. */
  addContext(group: ServerGroup, servername: string, context: ContextKey): void {
    group.contexts.add(servername, this.#options.material.makeContext(context));
    this.#renewTickets(group);
  }

  /** Keys of session tickets that the application gives. */
  setTicketKeys(group: ServerGroup, keys: Buffer): void {
    group.fixedTicketKeys = keys;
    this.#renewTickets(group);
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
      const { key, uid, acceptor } = group;
      if (key.context === null || !changed.has(key.context)) continue;
      try {
        acceptor?.setSecureContext(material.serverOptions(key, uid));
        group.contextVersion = material.contextVersion(key, uid);
        this.#renewTickets(group);
      } catch (error) {
        const reason = messageOf(error);
        log.error({ context: key.context, reason }, 'a server keeps the certificate that it had');
      } finally {
        clearOpensslErrors();
      }
    }
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
      this.#options.material.contextVersion(call.server, uid);
      this.#adjust(existing, call);
      // The names of workers that are gone are gone with them.
      if (existing.workers.size === 0) existing.contexts.clear();
      for (const { servername, context } of call.contexts) this.addContext(existing, servername, context);
      if (existing.workers.size === 0) existing.fixedTicketKeys = fixedKeysOf(call);
      this.#renewTickets(existing);
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
    const isKnown = isEqual(group.key, key) || isEqual(group.firstKey, key);
    if (isKnown && flags.length === 0) return;
    if (group.workers.size > 0 || flags.length > 0) {
      const names = [...flags, ...(isKnown ? [] : differingNames(group.key, key))];
      const which = names.map((name) => `"${name}"`).join(', ');
      throw addressInUse(address, ` (other workers listen there with another ${which})`);
    }
    try {
      const options = this.#options.material.serverOptions(key, group.uid);
      group.acceptor?.replace({ options, questions: this.#questionsOf(group, key) });
    } finally {
      clearOpensslErrors();
    }
    group.key = key;
    group.firstKey = key;
    group.contextVersion = this.#options.material.contextVersion(key, group.uid);
  }

  /** Gives a group the keys of what it is now: whom it lets in, and by which rules. */
  #renewTickets(group: ServerGroup): TicketKeyRing {
    const { uid, place, key, contextVersion, contexts, fixedTicketKeys: fixed } = group;
    const hasNames = key.asks.sni || contexts.size > 0;
    const ring = this.#rings.ringOf({ uid, place, key, contextVersion, hasNames, fixed });
    if (ring !== group.tickets) group.acceptor?.useTickets(ring);
    group.tickets = ring;
    return ring;
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
    const group = new ServerGroup({
      uid,
      requested: address,
      key: server,
      settings,
      place: textOf(call) ?? `group ${this.#nextGroup++}`,
      services: this.#options,
      onEnded: (ended) => this.#groups.delete(ended),
      successorOf: ({ uid: owner, requested }) =>
        [...this.#groups].find((other) => other.uid === owner && isSameAddress(requested, other)),
    });
    try {
      for (const { servername, context } of contexts) this.addContext(group, servername, context);
      const options = this.#options.material.serverOptions(server, uid);
      group.contextVersion = this.#options.material.contextVersion(server, uid);
      group.fixedTicketKeys = fixedKeysOf(call);
      const tickets = this.#renewTickets(group);
      const questions = this.#questionsOf(group, server);
      group.acceptor = await Acceptor.open(
        { options, gate: this.#options.gate, questions, tickets },
        address,
        group,
      );
    } finally {
      clearOpensslErrors();
    }
    this.#groups.add(group);
    this.#options.log.info({ address: group.acceptor.address }, 'a port is open');
    return group;
  }
}

/** Keys of session tickets that the application gave, in either way. */
function fixedKeysOf({ ticketKeys, server }: LinkCallOf<'listen'>): Buffer | null {
  const keys = ticketKeys ?? server.ticketKeys;
  return keys === null ? null : Buffer.from(keys, 'base64');
}

/** What the port itself was made with, and cannot be changed. */
const ADDRESS_FLAGS = ['ipv6Only', 'reusePort', 'readableAll', 'writableAll'] as const;

/** Workers that share a port by `reusePort` share it as a group: the daemon gives out the connections, not the kernel. */
function isExclusive({ exclusive, reusePort }: ListenAddress): boolean {
  return exclusive && !reusePort;
}

/** What must be equal for two calls to mean one port; `undefined` where the system chooses a port for each. */
function textOf({ address, group: { name } }: LinkCallOf<'listen'>): string | undefined {
  if (address.path !== null) return address.path;
  if (address.port === 0) return name === null ? undefined : `name ${name}`;
  return `${hostOf(address)}:${address.port}`;
}

function isSameAddress({ host, port, path }: ListenAddress, group: ServerGroup): boolean {
  const { requested, acceptor } = group;
  if (path !== null) return requested.path === path;
  if (port === 0 || port === null) return false;
  if (requested.port === port && hostOf(requested) === hostOf({ host })) return true;
  const bound = acceptor?.address;
  if (typeof bound !== 'object') return false;
  // A port that the system chose is asked for by its number after that.
  return (
    requested.port === 0 &&
    bound.port === port &&
    [bound.address, hostOf(requested)].includes(hostOf({ host }))
  );
}

/** A group is found by its name when the port is left to the system, or is the one that it has. */
function isCompatible({ host, port, path }: ListenAddress, { requested }: ServerGroup): boolean {
  return path === null && requested.path === null && port === 0 && hostOf(requested) === hostOf({ host });
}

function hostOf({ host }: Pick<ListenAddress, 'host'>): string {
  return host ?? '::';
}

function isEqual(left: unknown, right: unknown): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}

function differingNames(left: ServerKey, right: ServerKey): string[] {
  return (Object.keys(right) as (keyof ServerKey)[]).filter((name) => !isEqual(left[name], right[name]));
}

/** The error of net.Server.listen for an address that is taken, with the reason where there is one. */
function addressInUse({ host, port, path }: ListenAddress, reason: string): Error {
  const where = path ?? `${hostOf({ host })}:${port}`;
  return Object.assign(new Error(`listen EADDRINUSE: address already in use ${where}${reason}`), {
    code: 'EADDRINUSE',
    errno: -constants.errno.EADDRINUSE,
    syscall: 'listen',
    address: path ?? hostOf({ host }),
    ...(path === null && { port }),
  });
}
