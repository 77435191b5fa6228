// Answers the n-th line of a client with `n LINE`, whatever processes come and go meanwhile. See README.md.
//
//   node examples/line-server/server.mjs PORT KEY_FILE CERT_FILE
import { readFileSync } from 'node:fs';
import tls from 'tlshub';
import { Outbound } from '../exactly-once/outbound.mjs';

const [port, keyFile, certFile] = process.argv.slice(2);
const MAX_LINE_BYTES = 64 * 1024;

const server = tls.createServer({
  key: readFileSync(keyFile),
  cert: readFileSync(certFile),
  shared: { commit: 'manual', fallback: false },
});
server.on('secureConnection', (socket) => serve(socket));
server.on('adopt', (socket, state) => serve(socket, state === null ? undefined : JSON.parse(state)));

/** Serves a client from the beginning, or from where the state says: lines answered, bytes read and written by then. */
function serve(socket, { lines, read, written } = { lines: 0, read: 0, written: 0 }) {
  const outbound = new Outbound(socket);
  outbound.position = written;
  // The state may be ahead of the commit that follows it.
  let known = read - socket.sharing.resumedAt;
  let rest = Buffer.alloc(0);
  socket.on('data', (chunk) => {
    let bytes = Buffer.concat([rest, chunk.subarray(known)]);
    known = Math.max(known - chunk.length, 0);
    let answers = '';
    for (let end = bytes.indexOf('\n'); end !== -1; end = bytes.indexOf('\n')) {
      lines += 1;
      answers += `${lines} ${bytes.subarray(0, end)}\n`;
      read += end + 1;
      bytes = bytes.subarray(end + 1);
    }
    rest = bytes;
    if (rest.length > MAX_LINE_BYTES) socket.destroy();
    else if (answers !== '') answer(answers);
  });
  socket.on('drain', () => socket.resume());
  socket.on('error', () => {});

  const answer = (text) => {
    const place = { lines, read, written: outbound.position + Buffer.byteLength(text) };
    // Called back when the daemon has the answers: now the lines need not be given again.
    const kept = (error) => {
      if (error) return;
      const state = Buffer.from(JSON.stringify(place));
      Promise.all([socket.setState(state), socket.commit(place.read)]).catch(() => {});
    };
    if (!socket.write(text, kept)) socket.pause();
  };
}

process.once('SIGTERM', async () => {
  // Takes no more connections, and gives every one away; the port stays open for the next process. A client that does
  // not read is not waited for: the next process can go on without our help.
  setTimeout(() => process.exit(), 5_000);
  await server.handOff();
  process.exit();
});

server.listen(port, () => console.log(`process ${process.pid} serves lines, port ${server.address().port}`));
