// The daemon: the only file that constructs the others. It listens, knows the links, and ends in order: first it
// takes no new sessions and gives its place to a successor, then lanes finish or the deadline passes, then it closes.
import type { Socket } from 'node:net';
import { TlshubError } from '../errors.ts';
import { PROTOCOL_VERSION } from '../protocol/limits.ts';
import { VERSION } from '../version.ts';
import { BlobStore } from './blob-store.ts';
import type { ConfigurationChanges } from './calls.ts';
import type { DaemonConfig } from './config.ts';
import { Contexts } from './contexts/contexts.ts';
import { Endpoints } from './endpoint/endpoints.ts';
import { Handles } from './handles.ts';
import { Janitor } from './janitor.ts';
import { LaneDesk } from './lane-desk.ts';
import { LinkPeer, type PeerIdentity } from './link-peer.ts';
import { Links } from './links.ts';
import { Listener, maxDescriptor } from './listener.ts';
import type { Logger } from './log.ts';
import { CommandRunner } from './named/command-runner.ts';
import { Names } from './named/names.ts';
import { Pool } from './pool.ts';
import { receive, turnAway } from './reception.ts';
import { Groups } from './server/groups.ts';
import { HandshakeGate } from './server/handshake-gate.ts';
import { ServerMaterial } from './server/server-material.ts';
import type { Session } from './session.ts';
import { SessionTable } from './session-table.ts';
import { NameClaims } from './shards/name-claims.ts';
import { shardsOf } from './shards/shard-number.ts';
import { ShardPlace } from './shards/shard-place.ts';
import { Supervisor } from './shards/supervisor.ts';
import {
  addCounters,
  addTraffic,
  countNamed,
  describeMemory,
  noTraffic,
  type StatusReport,
} from './status.ts';
import { TicketCache } from './ticket-cache.ts';
import { Upstream } from './upstream.ts';

/** Commands of parked sessions that run at once, and that are started a second. */
const MAX_RUNNING_COMMANDS = 32;
const MAX_COMMAND_STARTS_PER_SECOND = 50;

/** Milliseconds in which connections that were closed at the drain deadline must be gone. */
const LAST_WORDS_MS = 1_000;

/** One daemon. */
export class Daemon {
  /** Settled when the daemon has ended, with the reason. */
  readonly closed: Promise<string>;
  readonly #config: DaemonConfig;
  readonly #log: Logger;
  readonly #place: ShardPlace;
  readonly #claims: NameClaims;
  /** Of the first of several shards. */
  readonly #supervisor: Supervisor | undefined;
  readonly #table: SessionTable;
  readonly #handles: Handles;
  readonly #blobs = new BlobStore();
  readonly #links = new Links();
  readonly #contexts: Contexts;
  readonly #pool: Pool;
  readonly #names: Names;
  readonly #gate: HandshakeGate;
  readonly #groups: Groups;
  readonly #endpoints: Endpoints;
  readonly #runner = new CommandRunner({
    maxRunning: MAX_RUNNING_COMMANDS,
    maxStartsPerSecond: MAX_COMMAND_STARTS_PER_SECOND,
  });
  readonly #lanes: LaneDesk;
  readonly #startedAtMs = Date.now();
  /** Of sessions that are gone. */
  readonly #closedTraffic = noTraffic();
  /** Resident memory when it began to listen. */
  #startedBytes = 0;
  #listener: Listener | undefined;
  #janitor: Janitor | undefined;
  #draining: Promise<void> | undefined;
  #lanesFinished: (() => void) | undefined;
  #resolveClosed: (reason: string) => void = () => {};

  /**
   * @param config timers and limits
   * @param log where reasons go
   * @param command the program and its arguments that make a daemon with this config, for further shards
   */
  constructor(config: DaemonConfig, log: Logger, command: readonly string[] = []) {
    this.#config = config;
    this.#log = log;
    const { directory, configFile, shard } = config;
    this.#place = new ShardPlace(shard, shardsOf(config));
    const { count } = this.#place;
    this.#claims = new NameClaims({
      directory,
      place: this.#place,
      log,
      sessionOnNameLost: (session) => {
        session.futureName = undefined;
        if (session.named !== undefined) this.#names.unname(session.named);
      },
    });
    if (shard === 0)
      this.#supervisor = new Supervisor({
        directory,
        count,
        command: [...command, '--shards', `${count}`],
        log,
      });
    this.#table = new SessionTable(shard);
    this.#handles = new Handles(shard);
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    this.#contexts = new Contexts({ directory, configFile, log });
    const tickets = new TicketCache(config.ticketCacheSize);
    const upstream = new Upstream({ blobs: this.#blobs, tickets, connectTimeoutMs: config.connectTimeoutMs });
    this.#pool = new Pool({
      config,
      table: this.#table,
      upstream,
      tickets,
      sessionOnClosed: (session) => this.#sessionOnClosed(session),
    });
    this.#names = new Names({
      pool: this.#pool,
      table: this.#table,
      handles: this.#handles,
      claims: this.#claims,
    });
    this.#gate = new HandshakeGate(config);
    this.#groups = new Groups({
      table: this.#table,
      names: this.#names,
      handles: this.#handles,
      material: new ServerMaterial({ blobs: this.#blobs, contexts: this.#contexts }),
      contexts: this.#contexts,
      gate: this.#gate,
      log,
      maxSessions: config.maxSessions,
      openOnTrunk: (...args) => this.#lanes.openOnTrunk(...args),
      sessionOnClosed: (session) => this.#sessionOnClosed(session),
    });
    this.#endpoints = new Endpoints({
      pool: this.#pool,
      blobs: this.#blobs,
      contexts: this.#contexts,
      log,
      checkPeerCredentials: config.peerCredentials,
      maxConnections: config.maxConnections,
      maxDescriptor: maxDescriptor(config.peerCredentials),
      opensEndpoint: (_name, { key }) => this.#place.owns(key),
    });
    this.#lanes = new LaneDesk({
      helloTimeoutMs: config.helloTimeoutMs,
      log: this.#log,
      table: this.#table,
      pool: this.#pool,
      handles: this.#handles,
      names: this.#names,
      upstream,
      contexts: this.#contexts,
      place: this.#place,
      awaitLink: (processId, timeoutMs) => this.#links.await(processId, timeoutMs),
    });
  }

  /**
   * Takes its place in the directory and listens. Rejects with ERR_TLSHUB_ALREADY_RUNNING, _CONFIG, _DIRECTORY,
   * _SOCKET_PATH or _PEER_CREDENTIALS.
   */
  async start(): Promise<void> {
    this.#contexts.load();
    this.#listener = await Listener.open({
      directory: this.#config.directory,
      shard: this.#config.shard,
      prepare: async () => this.#supervisor?.start(),
      checkPeerCredentials: this.#config.peerCredentials,
      maxConnections: this.#config.maxConnections,
      log: this.#log,
      onConnection: (socket, identity) => this.#listenerOnConnection(socket, identity),
      onRefused: turnAway,
      onLost: (error) => void this.drain(undefined, error.message),
    }).catch((error: unknown) => {
      this.#supervisor?.kill();
      throw error;
    });
    this.#janitor = new Janitor({
      config: this.#config,
      table: this.#table,
      pool: this.#pool,
      lanes: this.#lanes,
      names: this.#names,
      groups: this.#groups,
      endpoints: this.#endpoints,
      linkCount: () => this.#links.userCount,
      onIdle: () => void this.#janitorOnIdle(),
    });
    this.#startedBytes = process.memoryUsage.rss();
    const { directory, shard } = this.#config;
    const ofShard = this.#place.count === 1 ? undefined : { shard, shards: this.#place.count };
    this.#log.info({ directory, ...ofShard, pid: process.pid, version: VERSION }, 'listening');
    await this.#endpoints.apply(this.#contexts.endpoints);
  }

  /**
   * Ends the daemon: no new sessions, a successor may start at once, lanes may finish, then it closes.
   * @param deadlineMs how long lanes may run on; default from the config
   * @param reason for the log
   */
  drain(deadlineMs = this.#config.drainDeadlineMs, reason = 'asked to'): Promise<void> {
    this.#draining ??= this.#drain(deadlineMs, reason);
    return this.#draining;
  }

  /** Reads the configuration file again. Rejects with ERR_TLSHUB_CONFIG when nothing of it was taken; the log has it too. */
  async reload(): Promise<ConfigurationChanges> {
    const report = this.#contexts.reload();
    return { ...report, endpoints: await this.#endpoints.apply(this.#contexts.endpoints) };
  }

  /** As {@link reload}, in the other shards too. */
  reloadShards(): Promise<ConfigurationChanges> {
    this.#supervisor?.reload();
    return this.reload();
  }

  /** Ends the other shards at once, before this process does. */
  killShards(): void {
    this.#supervisor?.kill();
  }

  /** What `tlshub status` shows. */
  status(): StatusReport {
    return {
      version: VERSION,
      protocol: PROTOCOL_VERSION,
      pid: process.pid,
      node: process.version,
      directory: this.#config.directory,
      generation: this.#handles.generation,
      shard: this.#place.shard,
      shardCount: this.#place.count,
      uptimeMs: Date.now() - this.#startedAtMs,
      idleMs: this.#janitor?.idleMs() ?? 0,
      draining: this.#draining !== undefined,
      links: this.#links.userCount,
      lanes: this.#lanes.size,
      sessions: {
        ...this.#table.counts(),
        opening: this.#pool.opening,
        waiting: this.#pool.waiting,
        ...countNamed(this.#names.all()),
      },
      contexts: this.#contexts.counts(),
      commands: { running: this.#runner.running, queued: this.#runner.queued },
      servers: this.#groups.reports(),
      endpoints: this.#endpoints.reports(),
      handshakes: this.#gate.report(),
      counters: addCounters(this.#pool.counters, this.#closedTraffic, this.#table.all()),
      memory: describeMemory(this.#startedBytes, this.#table.size),
    };
  }

  /** Nobody has needed this process; the shards end together. */
  async #janitorOnIdle(): Promise<void> {
    if (this.#links.isSupervised) return;
    if (this.#place.count > 1 && !(await this.#supervisor?.areIdle(this.#config.idleExitMs))) return;
    void this.drain(0, 'nobody needed it');
  }

  async #drain(deadlineMs: number, reason: string): Promise<void> {
    this.#log.info({ deadlineMs, reason, lanes: this.#lanes.size }, 'draining');
    await this.#listener?.close();
    const shardsEnd = this.#supervisor?.drain(deadlineMs);
    this.#pool.drain();
    this.#groups.drain();
    this.#endpoints.drain(() => this.#lanesFinished?.());
    for (const link of this.#links.all()) link.send({ event: 'drain', deadline: deadlineMs });
    // A command that is started now would find nobody to attach to.
    for (const named of [...this.#names.all()]) if (named.parking !== undefined) named.unpark();
    for (const session of [...this.#table.inState('detached'), ...this.#table.inState('lingering')])
      session.close('the daemon is shutting down', 'orderly');
    await this.#lanesEnd(deadlineMs);
    this.#endpoints.cut();
    const error = new TlshubError('ERR_TLSHUB_DRAINING', 'the daemon shut down before the session ended');
    for (const session of [...this.#table.all()])
      session.close('the drain deadline has passed', 'abrupt', error);
    // The lanes' last words leave before the links do.
    await this.#lanesEnd(LAST_WORDS_MS);
    this.#janitor?.stop();
    await shardsEnd;
    this.#claims.close();
    setImmediate(() => {
      for (const link of this.#links.all()) link.close(error);
      this.#log.info({ reason }, 'ended');
      this.#resolveClosed(reason);
    });
  }

  #lanesEnd(deadlineMs: number): Promise<void> {
    return new Promise((resolve) => {
      const check = () => {
        if (this.#table.size + this.#pool.opening + this.#endpoints.connections > 0) return;
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(resolve, deadlineMs);
      this.#lanesFinished = check;
      check();
    });
  }

  #listenerOnConnection(socket: Socket, identity: PeerIdentity): void {
    receive(socket, identity, {
      helloTimeoutMs: this.#config.helloTimeoutMs,
      log: this.#log,
      onLink: (linkSocket, peer, bytes) => this.#openLink(linkSocket, peer, bytes),
      onLane: (laneSocket, peer, message) => void this.#lanes.serve(laneSocket, peer, message),
    });
  }

  #openLink(socket: Socket, identity: PeerIdentity, bytes: Buffer): void {
    const link = new LinkPeer({
      socket,
      identity,
      log: this.#log,
      services: {
        table: this.#table,
        pool: this.#pool,
        handles: this.#handles,
        blobs: this.#blobs,
        names: this.#names,
        groups: this.#groups,
        endpoints: this.#endpoints,
        runner: this.#runner,
        log: this.#log,
        config: this.#config,
        place: this.#place,
        claims: this.#claims,
        linkOf: (processId) => this.#links.get(processId),
        status: () => this.status(),
        reload: () => this.reload(),
        drain: (deadlineMs = this.#config.drainDeadlineMs) => {
          void this.drain(deadlineMs);
          return deadlineMs;
        },
      },
      onHello: (greeted) => this.#links.add(greeted),
      onAnswer: (answering, answer) => this.#groups.linkOnAnswer(answering, answer),
      onMessage: (speaking) => this.#groups.linkOnMessage(speaking),
      onClose: (closed) => {
        this.#groups.linkOnClose(closed);
        this.#endpoints.linkOnClose(closed);
        this.#links.remove(closed);
        this.#blobs.forget(closed);
        this.#claims.forget(closed);
      },
    });
    link.receive(bytes);
  }

  #sessionOnClosed(session: Session): void {
    this.#log.debug({ session: session.id, reason: session.closeReason }, 'session closed');
    addTraffic(this.#closedTraffic, session);
    // A session with a life of its own may still have something to read; it revokes by itself.
    if (session.named === undefined) {
      this.#handles.revoke(session);
      this.#claims.release(session);
    }
    this.#lanesFinished?.();
  }
}
