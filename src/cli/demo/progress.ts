// The progress line of `tlshub demo` on standard error: one line that is written over on a terminal, one line for each
// beginning elsewhere. It exists because the demo runs for seconds; no other verb has one.
import type { Kind } from './run-demo.ts';

const TITLES: Readonly<Record<Kind, string>> = { direct: 'without sharing', shared: 'with sharing' };

/** Shows how far the demo is. */
export class Progress {
  readonly #stream: NodeJS.WriteStream;
  readonly #count: number;

  /**
   * @param count processes of each kind
   * @param stream where to
   */
  constructor(count: number, stream: NodeJS.WriteStream = process.stderr) {
    this.#count = count;
    this.#stream = stream;
  }

  /** Something begins that has no parts. */
  begin(what: string): void {
    this.#show(`${what} …`);
  }

  /** A process begins. */
  step(kind: Kind, number: number): void {
    if (this.#stream.isTTY) this.#show(`${TITLES[kind]}: process ${number} of ${this.#count}`);
    else if (number === 1) this.#show(`${TITLES[kind]}: ${this.#count} processes …`);
  }

  /** Takes the line away. */
  end(): void {
    if (this.#stream.isTTY) this.#stream.write('\r\u001b[K');
  }

  #show(text: string): void {
    this.#stream.write(this.#stream.isTTY ? `\r\u001b[K${text}` : `${text}\n`);
  }
}
