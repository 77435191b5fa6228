// Acting as another user: only root can, in a child process that gives its rights up. Tests that need it run as root
// in CI; elsewhere they show that this user could not even try.
import { runNode } from './run-node.ts';

/** A user that owns nothing here (nobody, on most systems). */
export const OTHER_UID = 65534;

/** True when this process may become another user. */
export const CAN_BECOME_OTHERS = process.geteuid?.() === 0;

/**
 * Runs a script that becomes {@link OTHER_UID} where it calls `becomeOther()`, and answers what it prints as JSON.
 * Modules must be imported before that: the other user may not be able to read them.
 * @param script an ES module that prints one JSON value
 * @param args its `process.argv` from index 1 on
 */
export async function runAsOther(script: string, args: readonly string[]): Promise<unknown> {
  const prelude = `
    const becomeOther = () => {
      process.setgroups([]);
      process.setgid(${OTHER_UID});
      process.setuid(${OTHER_UID});
    };
  `;
  const { code, stdout, stderr } = await runNode(`${prelude}\n${script}`, { arguments: args });
  if (code !== 0) throw new Error(`the other user's process failed: ${stderr}`);
  return JSON.parse(stdout);
}
