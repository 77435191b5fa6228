// The servers that bench:accept and bench:serve compare: the same application, with TLS in its own process, behind
// HAProxy, or with sessions of the daemon.
import type { Stage } from './stage.ts';
import type { WorkerOrder } from './worker-process.ts';

/** Who terminates TLS, and how the bytes come from there to the application. */
export const SERVER_KINDS = ['tls', 'haproxy-tcp', 'haproxy-http', 'tlshub-raw', 'tlshub-framed'] as const;

/** One of {@link SERVER_KINDS}. */
export type ServerKind = (typeof SERVER_KINDS)[number];

/** A server with all the processes that it takes, by name. */
export interface MeasuredServer {
  readonly kind: ServerKind;
  readonly port: number;
  readonly pids: Readonly<Record<string, number>>;
}

/** What the application does. */
export type Service = Pick<WorkerOrder, 'serves' | 'bytes'>;

/** The kinds of a comma-separated list; throws for a name that is none, or that the benchmark does not have. */
export function parseKinds(list: string, possible: readonly ServerKind[]): ServerKind[] {
  return list.split(',').map((name) => {
    const kind = possible.find((each) => each === name);
    if (kind === undefined) throw new Error(`--kinds: "${name}" is none of ${possible.join(', ')}`);
    return kind;
  });
}

/**
 * Starts a server on a stage.
 * @param node program that runs the daemon; default the one that runs the benchmark
 */
export async function startServer(
  stage: Stage,
  kind: ServerKind,
  service: Service,
  node?: string,
): Promise<MeasuredServer> {
  const name = `${kind}-worker`;
  if (kind === 'tls') {
    const worker = await stage.worker(name, { ...service, over: 'tls', survive: false });
    return { kind, port: worker.port, pids: { worker: worker.pid } };
  }
  if (kind === 'haproxy-tcp' || kind === 'haproxy-http') {
    const worker = await stage.worker(name, { ...service, over: 'net', survive: false });
    const haproxy = await stage.haproxy(kind === 'haproxy-tcp' ? 'tcp' : 'http', worker.port);
    return { kind, port: haproxy.port, pids: { haproxy: haproxy.pid, worker: worker.pid } };
  }
  const daemon = await stage.daemon(`${kind}-daemon`, node);
  const order = { ...service, over: 'tlshub', survive: kind === 'tlshub-framed' } as const;
  const worker = await stage.worker(name, order, daemon);
  return { kind, port: worker.port, pids: { daemon: daemon.pid, worker: worker.pid } };
}
