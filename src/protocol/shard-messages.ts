// The calls between the daemon processes (shards) of one directory; messages.ts puts them into its table.
import * as v from 'valibot';
import { callId, count } from './message-fields.ts';
import { sessionNameSchema } from './session-name.ts';
import { MAX_SHARDS } from './shard.ts';

/** Calls of one shard to another. */
export const shardCalls = {
  /** The first shard looks after this one from now on, by this link. */
  supervise: v.strictObject({
    call: v.literal('supervise'),
    id: callId,
    shards: v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.maxValue(MAX_SHARDS)),
    version: v.pipe(v.string(), v.maxLength(64)),
  }),
  /** A session of another shard has this name, which is to be known here, for as long as the link lives. */
  claimName: v.strictObject({
    call: v.literal('claimName'),
    id: callId,
    name: sessionNameSchema,
    shard: v.pipe(count, v.maxValue(MAX_SHARDS - 1)),
  }),
  /** It has the name no longer. */
  disclaimName: v.strictObject({ call: v.literal('disclaimName'), id: callId, name: sessionNameSchema }),
} as const;
