// Between a client's connection and its exchanges: what the one is told by the other. Types only; http-connection.ts is the
// owner, http-exchange.ts tells it.
import type { Session } from '../session.ts';
import type { HttpAnswer } from './http-answers.ts';

/** How an exchange ended for the client: its connection goes on, this was its last response, or that was cut short. */
export type ExchangeEnd = 'goes-on' | 'last' | 'broken';

/** Who has the request, and is told how it fares. */
export interface ExchangeOwner {
  /** The session is there and the head is sent: the body may follow. Not called where `begin` had answered so. */
  exchangeOnReady(): void;
  /** The origin takes more of the body, after {@link HttpExchange.writeBody} had answered false. */
  exchangeOnDrain(): void;
  /** A byte of the response has come. */
  exchangeOnProgress(): void;
  /** No response will come; nothing was sent to the client. */
  exchangeOnFailure(answer: HttpAnswer): void;
  exchangeOnOver(end: ExchangeEnd): void;
  /** The client has its 101: from here on the session is the client's, without an occupant. `rest` follows the response. */
  exchangeOnUpgrade(session: Session, rest: Buffer): void;
}
