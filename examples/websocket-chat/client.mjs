// A member of the chat: says what is typed, shows what is said.
//
//   node examples/websocket-chat/client.mjs PORT CERT_FILE NAME
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { WebSocket } from 'ws';

const [port, certFile, name] = process.argv.slice(2);
const url = `wss://localhost:${port}/?name=${encodeURIComponent(name)}`;
const webSocket = new WebSocket(url, { ca: readFileSync(certFile) });
webSocket.on('message', (data) => console.log(String(data)));
webSocket.on('error', (error) => console.error(error.message));
webSocket.on('close', (code) => {
  console.error(`the chat has ended (${code})`);
  // 1000 and 1005 are the ends that one side has asked for (RFC 6455 §7.4.1).
  process.exit([1000, 1005].includes(code) ? 0 : 1);
});
webSocket.on('open', () => {
  console.log('you are in');
  const typed = createInterface({ input: process.stdin });
  typed.on('line', (line) => webSocket.send(line));
  typed.on('close', () => webSocket.close());
});
