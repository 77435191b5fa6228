// Starts one process of client-process.ts and answers what it reports. Called by run-demo.ts.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { ClientError, ClientOrder, ClientReport } from './client-process.ts';

const PROGRAM = fileURLToPath(new URL('./client-process.js', import.meta.url));

/** Milliseconds that a process may take from start to end. */
const DEADLINE_MS = 60_000;

/** A process of the demo that failed; `code` is that of its error, such as node:tls gave it. */
export class ClientFailure extends Error {
  override readonly name = 'ClientFailure';
  readonly code: string | undefined;

  constructor(message: string, code?: string) {
    super(message);
    this.code = code;
  }
}

/**
 * Runs one process to its end. Rejects with {@link ClientFailure}, or when the signal is aborted.
 * @param directory of the daemon that the process may use
 */
export async function runClient(
  order: ClientOrder,
  directory: string,
  signal: AbortSignal,
): Promise<ClientReport> {
  const { TLSHUB: _off, ...environment } = process.env;
  const child = spawn(process.execPath, [PROGRAM, JSON.stringify(order)], {
    env: { ...environment, TLSHUB_DIR: directory },
    stdio: ['ignore', 'pipe', 'inherit'],
    signal: AbortSignal.any([signal, AbortSignal.timeout(DEADLINE_MS)]),
    killSignal: 'SIGKILL',
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const how = await new Promise<string>((resolve, reject) => {
    child.on('error', (error) => {
      const late = error.name === 'AbortError' && !signal.aborted;
      reject(late ? new ClientFailure(`not finished within ${DEADLINE_MS / 1000} s`, 'ETIMEDOUT') : error);
    });
    child.on('close', (code, by) => resolve(by ?? `exit code ${code}`));
  });
  const report = parseReport(output);
  if (report === undefined) throw new ClientFailure(`ended with ${how}`);
  if ('error' in report) throw new ClientFailure(report.error.message, report.error.code);
  return report;
}

function parseReport(text: string): ClientReport | ClientError | undefined {
  try {
    return JSON.parse(text) as ClientReport | ClientError;
  } catch {
    return undefined;
  }
}
