// What a handshake asks of the application: a worker of the group is asked over its link, and another one when that goes
// away. Who asks waits as long as a handshake may take. The functions themselves never leave the application.
import { TlshubError } from '../../errors.ts';
import type { WireEvent } from '../../protocol/messages.ts';
import type { LinkPeer } from '../link-peer.ts';
import type { Worker } from './workers.ts';

/** A question without its number. */
export type Question = Omit<Extract<WireEvent, { event: 'question' }>, 'event' | 'listener' | 'question'>;

/** What an application answers. */
export type Answer = Extract<WireEvent, { event: 'answer' }>;

interface Pending {
  readonly question: Question;
  /** Who was asked; any of them may answer. */
  readonly asked: Set<Worker>;
  sinceMs: number;
  settle(answer: Answer | Error): void;
}

/** Numbers are drawn for all groups together: an answer names nothing else. */
let nextNumber = 1;

/** The open questions of one group. */
export class Questions {
  readonly #pick: (asked: ReadonlySet<Worker>) => Worker | undefined;
  readonly #pending = new Map<number, Pending>();

  /** @param pick the worker that is asked next, if there is one that was not asked yet */
  constructor(pick: (asked: ReadonlySet<Worker>) => Worker | undefined) {
    this.#pick = pick;
  }

  /**
   * Asks, now or when there is a worker. Rejects with ERR_TLSHUB_CLOSED when nobody answers in time.
   * @param timeoutMs as long as the handshake may take
   */
  ask(question: Question, timeoutMs: number): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const number = nextNumber++;
      const settle = (answer: Answer | Error) => {
        clearTimeout(timer);
        this.#pending.delete(number);
        if (answer instanceof Error) reject(answer);
        else resolve(answer);
      };
      const timer = setTimeout(
        () => settle(new TlshubError('ERR_TLSHUB_CLOSED', 'no worker answered in time')),
        timeoutMs,
      );
      const pending: Pending = { question, asked: new Set(), sinceMs: Date.now(), settle };
      this.#pending.set(number, pending);
      this.#send(number, pending);
    });
  }

  /** There is a worker more. */
  serve(): void {
    for (const [number, pending] of this.#pending) if (pending.asked.size === 0) this.#send(number, pending);
  }

  /** Asks others too what was asked longer ago than `timeoutMs`: who was asked may have stopped. */
  sweep(nowMs: number, timeoutMs: number): void {
    for (const [number, pending] of this.#pending)
      if (nowMs - pending.sinceMs >= timeoutMs) this.#send(number, pending);
  }

  /** A worker is gone: another one is asked. */
  leave(worker: Worker): void {
    for (const [number, pending] of this.#pending) {
      if (pending.asked.delete(worker) && pending.asked.size === 0) this.#send(number, pending);
    }
  }

  /** Takes an answer; false when it is to no question of this group, or not from who was asked. */
  answer(link: LinkPeer, answer: Answer): boolean {
    const pending = this.#pending.get(answer.question);
    if (pending === undefined || ![...pending.asked].some((worker) => worker.link === link)) return false;
    pending.settle(answer);
    return true;
  }

  /** Nobody answers any more. */
  end(error: Error): void {
    for (const { settle } of [...this.#pending.values()]) settle(error);
  }

  #send(number: number, pending: Pending): void {
    const worker = this.#pick(pending.asked);
    if (worker === undefined) return;
    pending.asked.add(worker);
    pending.sinceMs = Date.now();
    worker.link.send({
      event: 'question',
      listener: worker.listener,
      question: number,
      ...pending.question,
    });
  }
}
