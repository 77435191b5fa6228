// A program that uses a connection, run once in each way against fresh origins; what it saw must be the same.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { type CountingOrigin, countingOrigin, type OriginOptions } from '#helpers/counting-origin.js';
import { fileScope, type Scope } from '#helpers/scope.js';
import { connectAs, MODES, type Mode, useTestDaemon } from './both-ways.ts';
import { makeTestPki, type TestPki } from './test-pki.ts';
import { makeRecorder, type Recorder, type Trace } from './trace.ts';

/** What a program is given. */
export interface Bench {
  mode: Mode;
  pki: TestPki;
  origin: CountingOrigin;
  recorder: Recorder;
  scope: Scope;
  /** Options that reach the origin. */
  target: ConnectionOptions;
  /** Connects; the socket's events are recorded, and its `close` is awaited at the end. */
  connect(options?: ConnectionOptions, watch?: { read?: boolean }): TLSSocket;
}

/** A program and what it meets. */
export interface Program {
  /** Options of the origin besides its certificate; default: answers lines. */
  origin?: Omit<OriginOptions, 'cert' | 'key'>;
  /** Options of every `connect`. */
  options?: ConnectionOptions;
  /**
   * The program shows how large the pieces are in which bytes come and go, which is the network's business: how often
   * `drain` comes, and how much has been read when it stops midway, are left out of the comparison.
   */
  showsPieces?: boolean;
  run(bench: Bench): void | Promise<void>;
  /** What must be true besides: the comparison alone would pass two equal failures. */
  check?(trace: Trace, bench: Bench): void;
}

let pki: TestPki | undefined;

/** To be called once in a file: makes the certificates and the daemon. */
export function setUpBothWays(): void {
  const scope = fileScope();
  before(async () => {
    pki = await makeTestPki();
    await useTestDaemon(scope);
  });
}

/** The file's certificates. */
export function benchPki(): TestPki {
  assert.ok(pki !== undefined, 'setUpBothWays was not called');
  return pki;
}

/** Declares the test. */
export function sameBothWays(title: string, program: Program): void {
  test(title, async (t) => {
    const traces: Trace[] = [];
    for (const mode of MODES) traces.push(await runProgram(t, mode, program));
    const [direct, shared] = traces;
    assert.deepEqual(shared, direct);
  });
}

async function runProgram(scope: Scope, mode: Mode, program: Program): Promise<Trace> {
  const made = benchPki();
  const origin = await countingOrigin(scope, { ...made.good, ...program.origin });
  const recorder = makeRecorder([origin.port]);
  const target = { host: '127.0.0.1', port: origin.port, ca: made.ca.cert, ...program.options };
  const sockets: TLSSocket[] = [];
  const bench: Bench = {
    mode,
    pki: made,
    origin,
    recorder,
    scope,
    target,
    connect: (options = {}, watch = {}) => {
      const socket = connectAs(mode, { ...target, ...options });
      scope.after(() => void socket.destroy());
      recorder.watch(socket, watch);
      sockets.push(socket);
      return socket;
    },
  };
  await program.run(bench);
  for (const socket of sockets) await recorder.finished(socket);
  program.check?.(recorder.trace, bench);
  return program.showsPieces === true ? withoutPieces(recorder.trace) : recorder.trace;
}

function withoutPieces(trace: Trace): Trace {
  const events = trace.events
    .filter(([name]) => name !== 'drain')
    .map(([name, ...details]): Trace['events'][number] => {
      const [hadError, state] = details;
      if (name !== 'close') return [name, ...details];
      return [name, hadError, { ...(state as object), bytesRead: 'some' }];
    });
  return { ...trace, events };
}

/** Names of the trace's events, in order. */
export function namesOf(trace: Trace): string[] {
  return trace.events.map(([name]) => name);
}
