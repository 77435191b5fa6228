// P4 for servers of node:https: each scenario is seen alike whether TLS is in the process, on a raw lane or on a framed
// one.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import https, { type ShareableHttpsOptions } from '#src/https.js';
import { type Stage, scenarios } from './https-scenarios.ts';
import { listening, serving, textClient, WAYS } from './serving.ts';

const prepared = serving();

/** With manual commit too: HTTP commits for the application what it reads. */
const ALL_WAYS = { ...WAYS, 'shared, committed by hand': { survive: true, commit: 'manual' } } as const;

for (const [title, play] of Object.entries(scenarios)) {
  describe(`P4: ${title}`, () => {
    const seen: Partial<Record<keyof typeof ALL_WAYS, unknown>> = {};
    for (const [way, shared] of Object.entries(ALL_WAYS) as [keyof typeof ALL_WAYS, boolean][]) {
      test(way, async (t) => {
        const stage: Stage = {
          scope: t,
          client: prepared.client,
          ca: prepared.ca,
          serve: async (options: ShareableHttpsOptions, listener) => {
            const server = https.createServer({ ...prepared.leaf, ...options, shared }, listener);
            await listening(t, server);
            assert.equal(
              server.sharing?.shared,
              shared === false ? undefined : true,
              server.sharing?.reason ?? '',
            );
            return server;
          },
          connect: (server, options) =>
            textClient(t, { ca: prepared.ca, ...(server.address() as { port: number }), ...options }),
        };
        seen[way] = await play(stage);
        assert.deepEqual(seen[way], seen['in the process']);
        assert.notEqual(seen[way], undefined);
      });
    }
  });
}
