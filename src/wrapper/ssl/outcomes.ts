// What the calls of one Ssl object came to: the class that SSL_get_error(3) gives and the error behind it.
import { classOf, SSL_ERROR, type SslErrorClass } from './error-class.ts';

/** 1 done, 0 over or not yet (as the call says), −1 failed or not within `wait`; `getError` tells the class. */
export type ReturnCode = 1 | 0 | -1;

/** Kinds of calls; the outcome of the last one of each is remembered. */
export type SslCall = 'handshake' | 'read' | 'write' | 'shutdown' | 'leave';

interface Outcome {
  errorClass: SslErrorClass;
  error: Error | undefined;
}

const FINE: Outcome = { errorClass: SSL_ERROR.NONE, error: undefined };

/** The outcomes of the last calls. The methods that record one answer the return code. */
export class Outcomes {
  #last: Outcome = FINE;
  readonly #lastOf = new Map<SslCall, Outcome>();

  /** The error of the call that answered last. */
  get lastError(): Error | undefined {
    return this.#last.error;
  }

  /** The class of a return code, by the last call of a kind, or of any. */
  classOf(rc: number | string | Uint8Array, call?: SslCall): SslErrorClass {
    if (typeof rc !== 'number' || rc > 0) return SSL_ERROR.NONE;
    return (call === undefined ? this.#last : (this.#lastOf.get(call) ?? FINE)).errorClass;
  }

  /** The call did what it was asked to. */
  succeed<Code extends number | string | Buffer>(call: SslCall, rc: Code): Code {
    return this.#record(call, rc, FINE);
  }

  /** The call failed. */
  fail(call: SslCall, error: Error): -1 {
    return this.#record(call, -1, { errorClass: classOf(error), error });
  }

  /** The call is to be made again. */
  want(call: SslCall, direction: 'read' | 'write'): -1 {
    const errorClass = direction === 'read' ? SSL_ERROR.WANT_READ : SSL_ERROR.WANT_WRITE;
    return this.#record(call, -1, { errorClass, error: undefined });
  }

  /** The peer has ended. */
  zeroReturn(call: SslCall): 0 {
    return this.#record(call, 0, { errorClass: SSL_ERROR.ZERO_RETURN, error: undefined });
  }

  #record<Code>(call: SslCall, rc: Code, outcome: Outcome): Code {
    this.#last = outcome;
    this.#lastOf.set(call, outcome);
    return rc;
  }
}
