// The messages of the wire about endpoints; messages.ts puts them into its tables.
import * as v from 'valibot';
import { ENDPOINT_KINDS, endpointPlaceSchema } from './endpoint-place.ts';
import { callId, endpointId, waitMs, wireError } from './message-fields.ts';
import { sessionKeySchema } from './session-key.ts';

/** Calls about endpoints. */
export const endpointCalls = {
  /** Opens a plain door onto shared sessions; it stays open as long as the link. */
  endpoint: v.strictObject({
    call: v.literal('endpoint'),
    id: callId,
    endpoint: endpointId,
    listen: endpointPlaceSchema,
    kind: v.picklist(ENDPOINT_KINDS),
    /** What its sessions are opened with. */
    key: sessionKeySchema,
    /** `http`: the client's Host header stays as it is. */
    keepHost: v.boolean(),
    /** Whoever reaches the address may use the endpoint. */
    unsafeListen: v.boolean(),
  }),
  /** Closes the door; its connections may go on for `deadline` milliseconds. Answered when the last one has ended. */
  closeEndpoint: v.strictObject({
    call: v.literal('closeEndpoint'),
    id: callId,
    endpoint: endpointId,
    deadline: waitMs,
  }),
} as const;

/** Events about endpoints. */
export const endpointEvents = {
  /** Daemon → wrapper: the door is closed, and not because the wrapper asked for it. */
  'endpoint-end': v.strictObject({
    event: v.literal('endpoint-end'),
    endpoint: endpointId,
    error: wireError,
  }),
} as const;
