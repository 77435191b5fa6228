// The one error class of tlshub and its closed set of codes. Failures of the remote TLS session never come from
// here: they keep Node's own codes and arrive through wrapper/rebuild-error.ts.

/** Every code of tlshub with its meaning; docs/errors.md repeats it with advice, and a test compares the two. */
export const ERROR_CODES = {
  ERR_TLSHUB_ALREADY_RUNNING: 'Another daemon already serves this directory.',
  ERR_TLSHUB_BLOB_MISSING:
    'A request names a CA list by hash that the daemon does not hold (the wrapper sends it and asks again).',
  ERR_TLSHUB_CLOSED: 'The session was closed by the operator, a limit or a timer; the message says which.',
  ERR_TLSHUB_CONFIG: 'The configuration file of the daemon cannot be used; the message says where and why.',
  ERR_TLSHUB_CONTEXT_UNKNOWN: 'The daemon has no context of this name for this process.',
  ERR_TLSHUB_DAEMON_LOST: 'The daemon went away while the session was in use.',
  ERR_TLSHUB_DAEMON_UNREACHABLE: 'No daemon answers and none could be started.',
  ERR_TLSHUB_DIRECTORY: 'The directory of the socket is missing, not private, not ours or not writable.',
  ERR_TLSHUB_DRAINING: 'The daemon is shutting down and takes no new sessions.',
  ERR_TLSHUB_HANDLE_INVALID: 'The text is not a tlshub handle.',
  ERR_TLSHUB_HANDLE_STALE: 'The handle was issued by a daemon that no longer runs.',
  ERR_TLSHUB_HANDLE_UNKNOWN: 'The handle was used before, has expired, or its session has ended.',
  ERR_TLSHUB_HELLO_TIMEOUT: 'A connection to the daemon sent no complete first line in time.',
  ERR_TLSHUB_INVALID_CALL: 'A message to the daemon does not fit the schema of its call.',
  ERR_TLSHUB_INVALID_OPTION: 'An option of tlshub itself has a wrong type or value.',
  ERR_TLSHUB_LIMIT: 'A limit of the daemon is reached (sessions, descriptors or buffered bytes).',
  ERR_TLSHUB_NAME_INVALID: 'The text cannot be the name of a session.',
  ERR_TLSHUB_NAME_IN_USE:
    'The name belongs to a session that was opened with other options; the message says which.',
  ERR_TLSHUB_NAME_UNKNOWN: 'There is no session of this name.',
  ERR_TLSHUB_NOT_DETACHABLE: 'The socket cannot be detached in its present state; the message says why.',
  ERR_TLSHUB_NOT_LEASED: 'The socket holds no lease of a shared session.',
  ERR_TLSHUB_NOT_OWNER: 'The session or lane belongs to another process.',
  ERR_TLSHUB_NOT_SHAREABLE: 'The request cannot be shared and `fallback: false` forbids TLS in the process.',
  ERR_TLSHUB_OTHER_SHARD: 'Another process of the daemon has what is asked for; the error says which.',
  ERR_TLSHUB_PEER_CREDENTIALS:
    'The identity of the process at the other end of the socket cannot be checked.',
  ERR_TLSHUB_POOL_TIMEOUT: 'No session became free within `wait`.',
  ERR_TLSHUB_PROTOCOL: 'A message is malformed, too long or out of order.',
  ERR_TLSHUB_SESSION_BUSY: 'Another process holds the session.',
  ERR_TLSHUB_SESSION_UNKNOWN: 'There is no session with this id.',
  ERR_TLSHUB_SLOW_READER: 'The reader fell too far behind the other holders of a broadcast session.',
  ERR_TLSHUB_SOCKET_PATH: 'The path of the socket is longer than a Unix socket allows.',
  ERR_TLSHUB_START_FAILED: 'The daemon was started but ended before it was ready.',
  ERR_TLSHUB_UNKNOWN_CALL: 'The daemon does not know this call.',
  ERR_TLSHUB_UNSUPPORTED: 'The operation does not exist on a shared session.',
  ERR_TLSHUB_VERSION: 'Wrapper and daemon speak different versions of the protocol.',
} as const;

/** A code of {@link ERROR_CODES}. */
export type TlshubErrorCode = keyof typeof ERROR_CODES;

/** Trouble of the daemon or of sharing. Match on `code`, never on the message. */
export class TlshubError extends Error {
  readonly code: TlshubErrorCode;

  /**
   * @param code one of {@link ERROR_CODES}
   * @param message what happened and what to do about it; defaults to the meaning of the code
   * @param options `cause`, as for `Error`
   */
  constructor(code: TlshubErrorCode, message?: string, options?: ErrorOptions) {
    super(message ?? ERROR_CODES[code], options);
    this.code = code;
    this.name = 'TlshubError';
  }
}

/** True for a code of {@link ERROR_CODES}. */
export function isTlshubErrorCode(code: unknown): code is TlshubErrorCode {
  return typeof code === 'string' && Object.hasOwn(ERROR_CODES, code);
}

/**
 * The `code` of anything that was thrown, or `undefined`; Node's errors carry one, plain ones do not.
 * @param error what was caught
 */
export function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  const { code } = error as { code?: unknown };
  return typeof code === 'string' ? code : undefined;
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
