// The process of forked-origin.ts: one counting origin, driven by messages from the test.
import { type OriginOptions, startCountingOrigin } from './counting-origin.ts';

const options = JSON.parse(process.argv[2] ?? '{}') as OriginOptions;
const origin = await startCountingOrigin(options);
process.on('message', () => process.send?.({ counts: origin.counts, outcomes: origin.outcomes() }));
process.on('disconnect', () => process.exit());
process.send?.({ port: origin.port });
