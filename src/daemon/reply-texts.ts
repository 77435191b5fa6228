// The reply lines of sessions that are leased again and again: a session is described the same way each time, until a
// ticket comes. Made and asked by lane-desk.ts.
import { lineText } from '../protocol/line-codec.ts';
import type { LaneReply } from '../protocol/messages.ts';
import type { Session } from './session.ts';

/** Lines kept at once; the many sessions that only wait are to take no room for theirs. */
const MAX_TEXTS = 64;

/** The lines of the sessions leased last. */
export class ReplyTexts {
  #texts = new WeakMap<Session, { ticket: string | null; text: string }>();
  #size = 0;

  /**
   * The line of a reply to a lease of a session that was open already.
   * @param reply the same for this session each time, but for its ticket
   */
  text(session: Session, reply: LaneReply): string {
    const { ticket } = session.info;
    const known = this.#texts.get(session);
    if (known !== undefined && known.ticket === ticket) return known.text;
    if (this.#size >= MAX_TEXTS) {
      this.#texts = new WeakMap();
      this.#size = 0;
    }
    const text = lineText(reply);
    this.#texts.set(session, { ticket, text });
    this.#size += 1;
    return text;
  }
}
