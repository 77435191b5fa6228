// A chat whose clients stay connected while its process is replaced, or killed. See README.md.
//
//   node examples/websocket-chat/server.mjs PORT KEY_FILE CERT_FILE LOG_FILE
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import tls from 'tlshub';
import { WebSocketServer } from 'ws';
import { Follower } from '../exactly-once/follower.mjs';
import { Log } from '../exactly-once/log.mjs';
import { ClientFrames } from './client-frames.mjs';

const [port, keyFile, certFile, logFile] = process.argv.slice(2);
const log = new Log(logFile);
const members = new Set();
let leaving = false;

const http = createServer((_request, response) => response.writeHead(426, { Connection: 'close' }).end());
// Answers to pings take their turn in the log as well. A message has to fit into what may be uncommitted: 256 KiB.
const webSockets = new WebSocketServer({ noServer: true, autoPong: false, maxPayload: 64 * 1024 });
const server = tls.createServer({
  key: readFileSync(keyFile),
  cert: readFileSync(certFile),
  shared: { commit: 'manual', fallback: false },
});

server.on('secureConnection', (socket) => http.emit('connection', socket));

// A connection that another process had. As long as nothing was committed it is like a new one.
server.on('adopt', (socket, state) => {
  const { resumedAt, writtenAt } = socket.sharing;
  if (resumedAt > 0) join(socket, JSON.parse(state), Buffer.alloc(0), resumedAt);
  else if (writtenAt === 0) http.emit('connection', socket);
  // Half a plain answer (426) cannot be gone on with.
  else socket.destroy();
});

http.on('upgrade', async ({ method, url, headers }, socket, head) => {
  socket.on('error', () => {});
  const { resumedAt } = socket.sharing;
  const framesAt = resumedAt + socket.bytesRead - socket.readableLength - head.length;
  const state = { id: randomUUID(), request: { method, url, headers }, next: log.records.length };
  // Before the first byte is answered: from then on every process can make the same answers.
  try {
    await Promise.all([socket.setState(Buffer.from(JSON.stringify(state))), socket.commit(framesAt)]);
    join(socket, state, head, framesAt);
  } catch {
    socket.destroy();
  }
});

/** Makes a WebSocket of a connection: of a new one, and in the same way of one that was a WebSocket before. */
function join(socket, state, head, framesAt) {
  const { id, request } = state;
  const name = new URLSearchParams(request.url.split('?')[1]).get('name') ?? 'somebody';
  const frames = new ClientFrames(framesAt);
  const follower = new Follower(log, socket);
  socket.on('data', (chunk) => frames.push(chunk));
  webSockets.handleUpgrade(request, socket, head, (webSocket) => {
    const take = (record) => {
      const end = frames.next();
      // What is not committed is given to the next process.
      if (leaving || end === undefined) return;
      if (record !== undefined) log.append(id, end.at, record);
      if (end.whole) socket.commit(end.at).catch(() => {});
    };
    webSocket.on('message', (data) => take({ name, text: String(data) }));
    webSocket.on('ping', (data) => take({ pong: data.toString('base64') }));
    webSocket.on('pong', () => take());
    webSocket.on('error', () => {});
    webSocket.on('close', () => members.delete(follower));
    members.add(follower);
    follower.start(state, (number) => {
      const { from, name: author, text, pong } = log.records[number];
      if (text !== undefined) webSocket.send(`${author}: ${text}`);
      else if (from === id) webSocket.pong(Buffer.from(pong, 'base64'));
    });
  });
}

process.once('SIGTERM', async () => {
  // 1. Take nothing more from clients, and say nothing more to them. 2. Give every connection away; the port stays open.
  // 3. Exit, also when a client does not read: it costs nothing, as a crash does.
  leaving = true;
  for (const member of members) member.stop();
  setTimeout(() => process.exit(), 5_000);
  await server.handOff();
  process.exit();
});

server.listen(port, () =>
  console.log(`process ${process.pid} serves the chat, port ${server.address().port}`),
);
