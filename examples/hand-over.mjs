// A live TLS connection passed from one process to another, which Node's own `child.send` cannot do: this process opens
// it and writes the first half of a request, a second process writes the other half and reads the answer.
//
//   node examples/hand-over.mjs https://example.com/ [CA_FILE]
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import tls from 'tlshub';

const [url, caFile, handle] = process.argv.slice(2);
const { hostname, port, pathname } = new URL(url);

if (handle === undefined) {
  const ca = caFile && readFileSync(caFile);
  const socket = tls.connect({ host: hostname, port: port || 443, servername: hostname, ca, shared: true });
  await once(socket, 'secureConnect');
  socket.write(`GET ${pathname} HTTP/1.1\r\n`);
  console.log(`process ${process.pid} wrote the first line of the request`);
  const left = await socket.detach();
  spawn(process.execPath, [process.argv[1], url, caFile ?? '', left], { stdio: 'inherit' });
} else {
  const socket = tls.attach(handle);
  socket.write(`Host: ${hostname}\r\nConnection: close\r\n\r\n`);
  socket.setEncoding('utf8');
  let answer = '';
  for await (const text of socket) answer += text;
  console.log(`process ${process.pid} read the answer: ${answer.split('\r\n')[0]}`);
}
