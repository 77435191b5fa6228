// What a helper needs to tidy up after itself: a test's context, or the scope of a whole file.
import { after } from 'node:test';

/** A test (`t`) or a file ({@link fileScope}); `after` runs when it is over. */
export interface Scope {
  after(task: () => void | Promise<void>): void;
}

/**
 * The scope of a whole test file. To be made at the top of the file: what `after` of node:test gets inside a hook runs
 * when that hook is over.
 */
export function fileScope(): Scope {
  const tasks: (() => void | Promise<void>)[] = [];
  after(async () => {
    for (const task of tasks.reverse()) await task();
  });
  return { after: (task) => void tasks.push(task) };
}
