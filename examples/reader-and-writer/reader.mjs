// Opens the session "quiz", reads one line, keeps it with the session, and leaves.
import { readFileSync } from 'node:fs';
import tls from 'tlshub';

const [port, caFile] = process.argv.slice(2);
const socket = tls.connect({
  host: 'localhost',
  port,
  ca: readFileSync(caFile),
  shared: { name: 'quiz', commit: 'manual', fallback: false },
});

let line = '';
socket.setEncoding('utf8');
for await (const text of socket.iterator({ destroyOnReturn: false })) {
  line += text;
  if (line.endsWith('\n')) break;
}
console.log(`process ${process.pid} read: ${line.trim()}`);
await socket.setState(Buffer.from(line)); // what the next process needs to know …
await socket.commit(); // … and only now the line counts as consumed
await socket.release();
