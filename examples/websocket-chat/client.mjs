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
webSocket.on('close', () => process.exit());
webSocket.on('open', () => {
  console.log('you are in');
  const typed = createInterface({ input: process.stdin });
  typed.on('line', (line) => webSocket.send(line));
  typed.on('close', () => webSocket.close());
});
