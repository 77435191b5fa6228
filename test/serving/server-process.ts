// A process that serves as its parent tells it, order by order (server-processes.ts is the other end). What it does on a
// connection, the client tells it, line by line.
import { once } from 'node:events';
import { attach, createServer, type TlshubServer, type TlshubSocket } from '#src/index.js';
import type { PlayName, Served, ServeReport, ServerOrder, ServerReply } from './server-processes.ts';

interface Running {
  server: TlshubServer;
  play: PlayName;
  report: ServeReport;
}

const servers = new Map<string, Running>();
const { pid } = process;

/** One line of a client; answers what is written back. */
type LineVerb = (socket: TlshubSocket, rest: string) => Promise<string | undefined> | string | undefined;

const LINE_VERBS: Readonly<Record<string, LineVerb>> = {
  who: () => String(pid),
  state: async (socket, rest) => {
    await socket.setState(Buffer.from(rest));
    return 'ok';
  },
  name: async (socket, rest) => {
    await socket.setName(rest);
    return 'ok';
  },
  handOff: (socket, rest) => {
    // What is handed off includes that this very line is done with.
    setImmediate(() => void socket.handOff(rest === '' ? undefined : Buffer.from(rest)).catch(() => {}));
    return undefined;
  },
  detach: (socket) => {
    setImmediate(() => void socket.detach().then((handle) => process.send?.({ id: -1, value: handle })));
    return undefined;
  },
  park: (socket, rest) => {
    setImmediate(() => void socket.park({ run: [process.execPath, rest], stdio: true }).catch(() => {}));
    return undefined;
  },
  destroy: (socket) => void socket.destroy(),
  end: (socket) => void socket.end(),
  die: () => void process.kill(pid, 'SIGKILL'),
  exit: () => process.exit(0),
};

/** After these the process is not to be asked again. */
const LEAVING: ReadonlySet<string> = new Set(['handOff', 'detach', 'park', 'exit', 'die']);

/** Answers each line, and commits it when it is answered. */
function playLines(socket: TlshubSocket): void {
  let text = '';
  let offset = socket.sharing.resumedAt ?? 0;
  let working = Promise.resolve();
  let left = false;
  socket.setEncoding('latin1');
  socket.on('data', (chunk: string) => {
    // What comes behind the last line is the next holder's.
    if (left) return;
    text += chunk;
    for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n')) {
      const line = text.slice(0, end);
      text = text.slice(end + 1);
      offset += end + 1;
      const upTo = offset;
      working = working.then(() => answerLine(socket, line, upTo)).catch(() => {});
      left = LEAVING.has(line.split(' ', 1)[0] ?? '');
      if (left) return;
    }
  });
  socket.on('end', () => socket.end());
}

async function answerLine(socket: TlshubSocket, line: string, upTo: number): Promise<void> {
  const [name = '', ...rest] = line.split(' ');
  const verb = LINE_VERBS[name];
  const isShared = socket.sharing?.shared === true && socket.sharing.resumedAt !== null;
  const leaves = LEAVING.has(name);
  if (isShared && leaves) await socket.commit(upTo);
  const answer = verb === undefined ? `${pid} ${line}` : await verb(socket, rest.join(' '));
  if (answer !== undefined)
    await new Promise<void>((resolve) => socket.write(`${answer}\n`, () => resolve()));
  if (isShared && !leaves && !socket.destroyed) await socket.commit(upTo);
}

/** Gives every byte back, once, whatever process wrote how much of it. */
function playEcho(socket: TlshubSocket): void {
  let offset = socket.sharing.resumedAt ?? 0;
  const writtenAt = socket.sharing.writtenAt ?? 0;
  socket.on('data', (chunk: Buffer) => {
    const start = offset;
    offset += chunk.length;
    const upTo = offset;
    const fresh = chunk.subarray(Math.max(0, writtenAt - start));
    const commit = () => void socket.commit(upTo).catch(() => {});
    if (fresh.length === 0) commit();
    else socket.write(fresh, (error) => (error ? undefined : commit()));
  });
  socket.on('end', () => socket.end());
}

const PLAYS: Readonly<Record<PlayName, (socket: TlshubSocket) => void>> = {
  lines: playLines,
  echo: playEcho,
  // Reads nothing.
  silent: () => {},
};

function take(running: Running, socket: TlshubSocket): void {
  const { report, play } = running;
  socket.on('error', (error: NodeJS.ErrnoException) => report.errors.push(error.code ?? error.message));
  socket.on('close', () => {
    report.closed += 1;
  });
  PLAYS[play](socket);
}

function adopt(running: Running): void {
  running.server.on('adopt', (socket, state) => {
    running.report.adopted.push(state?.toString() ?? '');
    if (running.play === 'lines') socket.write(`adopted by ${pid} ${state?.toString() ?? ''}\n`);
    take(running, socket);
  });
}

async function serve(order: Extract<ServerOrder, { do: 'serve' }>): Promise<Served> {
  const server = createServer(order.options);
  const report: ServeReport = {
    opened: 0,
    adopted: [],
    closed: 0,
    errors: [],
    clientErrors: [],
    failures: [],
  };
  const running: Running = { server, play: order.play, report };
  servers.set(order.as, running);
  server.on('secureConnection', (socket) => {
    report.opened += 1;
    take(running, socket);
  });
  if (order.adopts) adopt(running);
  server.on('tlsClientError', (error: NodeJS.ErrnoException) => report.clientErrors.push(error.code ?? ''));
  (server.listen as (...args: unknown[]) => unknown)(...order.at);
  await once(server, 'listening');
  server.on('error', (error: NodeJS.ErrnoException) => report.failures.push(error.code ?? error.message));
  const { shared, reason } = (server as Partial<TlshubServer>).sharing ?? { shared: false, reason: null };
  return { address: server.address(), shared, reason };
}

function named(as: string): Running {
  const running = servers.get(as);
  if (running === undefined) throw new Error(`there is no server ${as}`);
  return running;
}

async function obey(order: ServerOrder): Promise<unknown> {
  switch (order.do) {
    case 'serve':
      return serve(order);
    case 'attach': {
      const socket = attach(order.handle, { commit: 'manual', wait: 10_000 });
      await once(socket, 'secureConnect');
      playLines(socket);
      return socket.sharing.resumedAt;
    }
    case 'block': {
      const until = performance.now() + order.ms;
      while (performance.now() < until);
      return undefined;
    }
    case 'exit':
      setImmediate(() => process.exit(0));
      return undefined;
    default:
  }
  const running = named(order.as);
  switch (order.do) {
    case 'close':
      await new Promise<void>((resolve, reject) =>
        running.server.close((error) => (error ? reject(error) : resolve())),
      );
      return undefined;
    case 'beginClose':
      running.server.close();
      return undefined;
    case 'handOff':
      return running.server.handOff();
    case 'setContext':
      running.server.setSecureContext(order.options);
      return undefined;
    case 'adopt':
      adopt(running);
      return undefined;
    default:
      return running.report;
  }
}

process.on('message', ({ id, order }: { id: number; order: ServerOrder }) => {
  obey(order).then(
    (value) => process.send?.({ id, value } satisfies ServerReply),
    (error: NodeJS.ErrnoException) => {
      const failure = { code: error.code ?? '', message: error.message };
      process.send?.({ id, failure } satisfies ServerReply);
    },
  );
});
process.on('disconnect', () => process.exit());
process.on('SIGTERM', () => {
  // As the documents say: stop accepting, hand everything off, exit.
  void Promise.all([...servers.values()].map(({ server }) => server.handOff())).then(() => process.exit(0));
});
process.send?.({ id: 0 } satisfies ServerReply);
