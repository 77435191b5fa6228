// The return codes: whatever a TLS session of the daemon meets, the application sees what node:tls would have shown
// it. Each row of scenarios.ts is run in both ways against fresh origins, and the traces are compared in full.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { fileScope, type Scope } from '#helpers/scope.js';
import { installTwoAddresses, PRELOAD_TWO_ADDRESSES } from '#helpers/two-addresses.js';
import { connectAs, type Mode, useTestDaemon } from './both-ways.ts';
import {
  connectScenarios,
  handshakeScenarios,
  type Scenario,
  streamScenarios,
  toleratedScenarios,
} from './scenarios.ts';
import { makeTestPki, type TestPki } from './test-pki.ts';
import { makeRecorder, type Trace } from './trace.ts';
import { wrongOptions } from './wrong-options.ts';

let pki: TestPki;
const scope = fileScope();
before(async () => {
  pki = await makeTestPki();
  await useTestDaemon(scope, { nodeArguments: [PRELOAD_TWO_ADDRESSES] });
});

const groups: Record<string, readonly Scenario[]> = {
  'before TLS': connectScenarios,
  'in the handshake': handshakeScenarios,
  'after the handshake': streamScenarios,
  'with rejectUnauthorized: false': toleratedScenarios,
};

for (const [group, scenarios] of Object.entries(groups)) {
  describe(`P4, P8: shared and direct give the same return codes ${group}`, () => {
    for (const scenario of scenarios) {
      test(scenario.title, async (t) => {
        const direct = await traceOf(t, 'direct', scenario);
        assert.ok(direct.thrown !== undefined || direct.events.length > 0);
        assert.deepEqual(await traceOf(t, 'shared', scenario), direct);
      });
    }
  });
}

describe('P4: wrong options are refused as node:tls refuses them', () => {
  for (const [title, options] of Object.entries(wrongOptions)) {
    test(title, async (t) => {
      const scenario: Scenario = { title, prepare: () => ({ options: options(pki) }) };
      const direct = await traceOf(t, 'direct', scenario);
      assert.doesNotMatch(JSON.stringify(direct), /ECONNREFUSED/, 'node:tls accepts the option');
      // What the wrapper does not understand it leaves to node:tls, whose words these are; no connection comes of it.
      assert.deepEqual(await traceOf(t, 'shared', scenario, true), direct);
    });
  }
});

async function traceOf(scope: Scope, mode: Mode, scenario: Scenario, fallback = false): Promise<Trace> {
  const { options, play } = await scenario.prepare(scope, pki);
  const recorder = makeRecorder(portsOf(options));
  // The daemon knows the name of its own accord; a process whose resolver is replaced does not share.
  const restore = mode === 'direct' ? installTwoAddresses() : () => undefined;
  let socket: TLSSocket;
  try {
    socket = connectAs(mode, options, fallback);
  } catch (error) {
    recorder.note('thrown', error);
    return { thrown: recorder.trace.events[0], events: [] };
  } finally {
    restore();
  }
  recorder.watch(socket);
  play?.(socket, recorder);
  return recorder.finished(socket);
}

/** The port to be replaced in the trace; 0 and 1 are no free port and stay. */
function portsOf({ port }: ConnectionOptions): number[] {
  return typeof port === 'number' && port > 1 && port < 65_536 ? [port] : [];
}
