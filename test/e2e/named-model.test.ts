// P6, P15, issue 3 "Crash safety": random sequences of what processes and the peer do to a named session, compared
// with a model that knows the peer's stream and the committed offset. The processes are real and die by kill -9.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import fc from 'fast-check';
import { type CountingOrigin, countingOrigin } from '#helpers/counting-origin.js';
import { pattern } from '#helpers/pattern.js';
import { fileScope } from '#helpers/scope.js';
import { startTestDaemon, type TestDaemon } from '#helpers/test-daemon.js';
import { waitFor } from '#helpers/wait-for.js';
import type { CommitKind } from '#src/protocol/session-name.js';
import { makeTestPki, type TestPki } from '../sharing/test-pki.ts';
import { Holder, type JoinedSession, OrderFailure } from './named-holders.ts';

const PROCESSES = 3;
/** Less than may be taken without a commit. */
const MOST_UNCOMMITTED_BYTES = 200_000;
const SOCKET = 'it';
const LEAST_STEPS = 600;

const scope = fileScope();
let pki: TestPki;
let daemon: TestDaemon;
let origin: CountingOrigin;
let steps = 0;
let runs = 0;
const spare: Holder[] = [];

before(async () => {
  pki = await makeTestPki();
  daemon = await startTestDaemon(scope);
  origin = await countingOrigin(scope, { ...pki.good, behaviour: { kind: 'silent' } });
});

/** What must be true. */
interface Model {
  commit: CommitKind;
  opened: boolean;
  /** Bytes of the peer's stream so far, of them taken by the holder, and consumed for good. */
  sent: number;
  taken: number;
  committed: number;
  /** What `committed` is too, perhaps: the holder died while it said so. */
  perhapsCommitted: number;
  peerEnded: boolean;
  state: string | null;
  /** Bytes that the holders have written; and perhaps one more write, of a holder that died within it. */
  written: number;
  perhapsWritten: number[];
  /** Which process holds the session. */
  holder: number | undefined;
}

/** What is real. */
interface Real {
  name: string;
  processes: Holder[];
  received: () => number;
  peer: () => TLSSocket;
  noticePeer(): Promise<void>;
}

type Step = fc.AsyncCommand<Model, Real, false>;

function holderOf({ holder }: Model, { processes }: Real): Holder {
  const process = processes[holder ?? -1];
  assert.ok(process !== undefined, 'nobody holds the session');
  return process;
}

function newHolder(): Holder {
  spare.push(new Holder(scope, daemon.directory));
  return spare.shift() as Holder;
}

/** The options of a process that joins by name. */
function options(model: Model, real: Real, wait: number) {
  const { name } = real;
  const shared = { name, wait, commit: model.commit, fallback: false } as const;
  return { port: origin.port, host: '127.0.0.1', servername: 'localhost', ca: pki.ca.cert, shared };
}

function checkJoined(model: Model, { resumedAt, state }: JoinedSession): void {
  assert.ok(
    resumedAt === model.committed || resumedAt === model.perhapsCommitted,
    `resumed at ${resumedAt}, not at ${model.committed} (or ${model.perhapsCommitted})`,
  );
  assert.equal(state, model.state);
  model.committed = resumedAt ?? 0;
  model.perhapsCommitted = model.committed;
  model.taken = model.committed;
}

class Join implements Step {
  readonly process: number;
  readonly how: 'connect' | 'attach';
  constructor(process: number, how: 'connect' | 'attach') {
    this.process = process;
    this.how = how;
  }
  check = (model: Readonly<Model>) =>
    model.holder === undefined &&
    (this.how === 'connect' || model.opened) &&
    !(model.peerEnded && Math.max(model.committed, model.perhapsCommitted) === model.sent);
  async run(model: Model, real: Real) {
    steps += 1;
    const process = real.processes[this.process] as Holder;
    // The daemon may not have noticed yet that the holder before has died.
    const joined =
      this.how === 'connect'
        ? await process.tell<JoinedSession>({
            do: 'connect',
            as: SOCKET,
            options: options(model, real, 5_000),
          })
        : await process.tell<JoinedSession>({
            do: 'attach',
            as: SOCKET,
            handle: real.name,
            options: { wait: 5_000, commit: model.commit },
          });
    assert.equal(joined.reused, model.opened);
    if (!model.opened) await real.noticePeer();
    model.opened = true;
    model.holder = this.process;
    checkJoined(model, joined);
  }
  toString = () => `process ${this.process} joins by ${this.how}`;
}

class JoinHeld implements Step {
  readonly process: number;
  constructor(process: number) {
    this.process = process;
  }
  check = (model: Readonly<Model>) => model.holder !== undefined && model.holder !== this.process;
  async run(model: Model, real: Real) {
    steps += 1;
    const process = real.processes[this.process] as Holder;
    await assert.rejects(
      process.tell({ do: 'connect', as: 'refused', options: options(model, real, 0) }),
      new OrderFailure('ERR_TLSHUB_SESSION_BUSY'),
    );
  }
  toString = () => `process ${this.process} finds the session busy`;
}

class PeerWrites implements Step {
  readonly bytes: number;
  constructor(bytes: number) {
    this.bytes = bytes;
  }
  check = (model: Readonly<Model>) => model.opened && !model.peerEnded;
  async run(model: Model, real: Real) {
    steps += 1;
    real.peer().write(Buffer.from(pattern(model.sent, this.bytes)));
    model.sent += this.bytes;
  }
  toString = () => `the peer writes ${this.bytes}`;
}

class PeerEnds implements Step {
  check = (model: Readonly<Model>) => model.opened && !model.peerEnded && model.sent > model.committed;
  async run(model: Model, real: Real) {
    steps += 1;
    real.peer().end();
    model.peerEnded = true;
  }
  toString = () => 'the peer ends';
}

class Read implements Step {
  readonly share: number;
  constructor(share: number) {
    this.share = share;
  }
  check = (model: Readonly<Model>) => model.holder !== undefined && this.#bytes(model) > 0;
  async run(model: Model, real: Real) {
    steps += 1;
    const bytes = this.#bytes(model);
    const text = await holderOf(model, real).tell<string>({ do: 'read', as: SOCKET, bytes });
    assert.ok(
      Buffer.from(text, 'latin1').equals(pattern(model.taken, bytes)),
      `bytes from ${model.taken} on`,
    );
    model.taken += bytes;
    if (model.commit === 'auto') {
      model.committed = model.taken;
      model.perhapsCommitted = model.taken;
    }
  }
  #bytes({ sent, taken, committed }: Readonly<Model>): number {
    return Math.min(Math.ceil((sent - taken) * this.share), MOST_UNCOMMITTED_BYTES - (taken - committed));
  }
  toString = () => `read ${this.share}`;
}

class Write implements Step {
  readonly bytes: number;
  constructor(bytes: number) {
    this.bytes = bytes;
  }
  check = (model: Readonly<Model>) => model.holder !== undefined && !model.peerEnded;
  async run(model: Model, real: Real) {
    steps += 1;
    const text = pattern(model.written, this.bytes).toString('latin1');
    await holderOf(model, real).tell({ do: 'write', as: SOCKET, text });
    model.written += this.bytes;
  }
  toString = () => `write ${this.bytes}`;
}

class Commit implements Step {
  check = (model: Readonly<Model>) => model.holder !== undefined;
  async run(model: Model, real: Real) {
    steps += 1;
    await holderOf(model, real).tell({ do: 'commit', as: SOCKET });
    model.committed = model.taken;
    model.perhapsCommitted = model.taken;
  }
  toString = () => 'commit';
}

class SetState implements Step {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
  check = (model: Readonly<Model>) => model.holder !== undefined;
  async run(model: Model, real: Real) {
    steps += 1;
    await holderOf(model, real).tell({ do: 'setState', as: SOCKET, text: this.text });
    model.state = this.text;
  }
  toString = () => `setState ${this.text}`;
}

class Leave implements Step {
  readonly how: 'release' | 'destroy';
  constructor(how: 'release' | 'destroy') {
    this.how = how;
  }
  check = (model: Readonly<Model>) => model.holder !== undefined;
  async run(model: Model, real: Real) {
    steps += 1;
    await holderOf(model, real).tell({ do: this.how, as: SOCKET });
    model.holder = undefined;
  }
  toString = () => this.how;
}

class HandOver implements Step {
  readonly process: number;
  constructor(process: number) {
    this.process = process;
  }
  check = (model: Readonly<Model>) => model.holder !== undefined && !model.peerEnded;
  async run(model: Model, real: Real) {
    steps += 1;
    const handle = await holderOf(model, real).tell<string>({ do: 'detach', as: SOCKET });
    model.holder = this.process;
    const joined = await holderOf(model, real).tell<JoinedSession>({
      do: 'attach',
      as: SOCKET,
      handle,
      options: { commit: model.commit },
    });
    checkJoined(model, joined);
  }
  toString = () => `detach, process ${this.process} attaches`;
}

class Kill implements Step {
  readonly within: 'nothing' | 'commit' | 'write';
  constructor(within: 'nothing' | 'commit' | 'write') {
    this.within = within;
  }
  check = (model: Readonly<Model>) =>
    model.holder !== undefined &&
    (this.within !== 'write' || (!model.peerEnded && model.perhapsWritten.length === 0));
  async run(model: Model, real: Real) {
    steps += 1;
    const holder = holderOf(model, real);
    if (this.within !== 'nothing') {
      const bytes = 50_000;
      const text = pattern(model.written, bytes).toString('latin1');
      const order =
        this.within === 'commit'
          ? ({ do: 'commit', as: SOCKET } as const)
          : ({ do: 'write', as: SOCKET, text } as const);
      const ordered = holder.tell(order).catch(() => undefined);
      // A moment, so that the order is sometimes under way and sometimes done.
      for (let turn = 0; turn < 1 + (steps % 7); turn++)
        await new Promise((resolve) => setImmediate(resolve));
      await holder.kill();
      await ordered;
      if (this.within === 'commit') model.perhapsCommitted = model.taken;
      else model.perhapsWritten = [bytes];
    } else {
      await holder.kill();
    }
    real.processes[model.holder ?? 0] = newHolder();
    model.holder = undefined;
  }
  toString = () => `kill -9 within ${this.within}`;
}

/** After a write whose fate is not known: what follows depends on whether the peer has got it. */
class LearnFate implements Step {
  check = (model: Readonly<Model>) => model.perhapsWritten.length > 0 && model.holder !== undefined;
  async run(model: Model, real: Real) {
    steps += 1;
    // Whatever the dead process has brought to the daemon was sent before its session went to another.
    const [bytes = 0] = model.perhapsWritten.splice(0);
    const marker = '#';
    await holderOf(model, real).tell({ do: 'write', as: SOCKET, text: marker });
    await waitFor(
      () => real.received() === model.written + 1 || real.received() === model.written + bytes + 1,
      { what: () => `the whole write or nothing of it, not ${real.received() - model.written - 1} bytes` },
    );
    model.written = real.received();
  }
  toString = () => 'learn the fate of a write';
}

const process$ = fc.integer({ min: 0, max: PROCESSES - 1 });
const bytes$ = fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 90_000 }));
const read$ = fc.constantFrom(0.01, 0.3, 0.5, 1, 1).map((share) => new Read(share));
const join$ = fc
  .tuple(process$, fc.constantFrom('connect' as const, 'attach' as const))
  .map(([process, how]) => new Join(process, how));
const steps$ = fc.commands<Model, Real, false>(
  [
    join$,
    join$,
    join$,
    process$.map((process) => new JoinHeld(process)),
    bytes$.map((bytes) => new PeerWrites(bytes)),
    bytes$.map((bytes) => new PeerWrites(bytes)),
    bytes$.map((bytes) => new PeerWrites(bytes)),
    read$,
    read$,
    read$,
    bytes$.map((bytes) => new Write(bytes)),
    bytes$.map((bytes) => new Write(bytes)),
    fc.constant(new Commit()),
    fc.constant(new Commit()),
    fc.string({ maxLength: 20 }).map((text) => new SetState(text)),
    fc.constantFrom('release' as const, 'destroy' as const).map((how) => new Leave(how)),
    process$.map((process) => new HandOver(process)),
    fc
      .constantFrom('nothing' as const, 'commit' as const, 'write' as const)
      .map((within) => new Kill(within)),
    fc.constant(new LearnFate()),
    fc.constant(new LearnFate()),
  ],
  { maxCommands: 150, size: 'max' },
);

/** A session of a name that was not used before; nobody holds it, and it is not opened yet. */
function setUp(commit: CommitKind, processes: Holder[]): { model: Model; real: Real } {
  let peer: TLSSocket | undefined;
  let received = 0;
  const known = new Set(origin.sockets);
  const real: Real = {
    name: `model ${runs++}`,
    processes,
    received: () => received,
    peer: () => {
      assert.ok(peer !== undefined);
      return peer;
    },
    noticePeer: async () => {
      peer = await waitFor(() => [...origin.sockets].find((socket) => !known.has(socket)), {
        what: 'the connection of the session',
      });
      peer.on('data', (chunk: Buffer) => {
        received += chunk.length;
      });
    },
  };
  const model: Model = {
    commit,
    opened: false,
    sent: 0,
    taken: 0,
    committed: 0,
    perhapsCommitted: 0,
    peerEnded: false,
    state: null,
    written: 0,
    perhapsWritten: [],
    holder: undefined,
  };
  return { model, real };
}

/** Whatever has happened: the next holder gets the rest of the stream, and then the end. */
async function readToTheEnd(model: Model, real: Real): Promise<void> {
  if (!model.opened) return;
  if (!model.peerEnded) {
    await new PeerWrites(1).run(model, real);
    await new PeerEnds().run(model, real);
  }
  if (model.holder === undefined) {
    const join = new Join(0, 'attach');
    if (!join.check(model)) return;
    await join.run(model, real);
  }
  while (model.taken < model.sent) {
    await new Read(1).run(model, real);
    await new Commit().run(model, real);
  }
  const holder = holderOf(model, real);
  await holder.tell({ do: 'flow', as: SOCKET });
  await waitFor(async () => (await holder.report(SOCKET)).ended, { what: `the peer's end` });
  await holder.tell({ do: 'end', as: SOCKET });
  await waitFor(async () => (await holder.report(SOCKET)).closed, { what: 'the close' });
  if (model.perhapsWritten.length === 0) {
    await waitFor(() => real.received() === model.written, {
      what: () => `${model.written} bytes at the peer, not ${real.received()}`,
    });
  }
}

for (const commit of ['manual', 'auto'] as const) {
  test(`P6, P15: nothing is lost, doubled or reordered, whoever is killed when (commit: ${commit})`, async () => {
    const before = steps;
    let processes: Holder[] = [];
    for (let index = 0; index < PROCESSES; index++) processes.push(newHolder());
    await fc.assert(
      fc.asyncProperty(steps$, async (commands) => {
        const { model, real } = setUp(commit, processes);
        try {
          await fc.asyncModelRun(() => ({ model, real }), commands);
          await readToTheEnd(model, real);
        } catch (error) {
          // What is left of this run must not be in the way of the next, smaller one.
          for (const process of processes) await process.kill();
          processes = processes.map(() => newHolder());
          throw error;
        }
        processes = real.processes;
      }),
      { numRuns: 32, endOnFailure: true },
    );
    const done = steps - before;
    assert.ok(done >= LEAST_STEPS, `${done} steps are not enough`);
  });
}
