// A small MQTT 3.1.1 broker (QoS 0 and 1, retained messages) whose clients stay connected while its process is replaced,
// or killed. See README.md.
//
//   node examples/mqtt-broker/server.mjs PORT KEY_FILE CERT_FILE LOG_FILE
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import mqtt from 'mqtt-packet';
import tls from 'tlshub';
import { Follower } from '../exactly-once/follower.mjs';
import { Log } from '../exactly-once/log.mjs';
import { Conversation, toRecord } from './conversation.mjs';

const [port, keyFile, certFile, logFile] = process.argv.slice(2);
/** A packet has to fit into what may be uncommitted: 256 KiB. */
const MAX_PACKET_BYTES = 64 * 1024;

const log = new Log(logFile);
const followers = new Set();
let leaving = false;

const server = tls.createServer({
  key: readFileSync(keyFile),
  cert: readFileSync(certFile),
  shared: { commit: 'manual', fallback: false },
});
server.on('secureConnection', (socket) => serve(socket, null));
server.on('adopt', serve);

async function serve(socket, saved) {
  socket.on('error', () => {});
  const state = saved === null ? { id: randomUUID(), next: log.records.length } : JSON.parse(saved);
  const follower = new Follower(log, socket);
  followers.add(follower);
  socket.on('close', () => followers.delete(follower));
  try {
    // Before the first byte is read or written: from then on every process can give the same answers.
    if (saved === null) await socket.setState(Buffer.from(JSON.stringify(state)));
  } catch {
    socket.destroy();
    return;
  }
  const conversation = new Conversation(state.id, state);
  const say = (number) => {
    for (const packet of conversation.answer(log.records, number)) socket.write(mqtt.generate(packet));
  };
  follower.start(state, say, () => conversation.snapshot());
  read(socket, state.id);
}

function read(socket, id) {
  const parser = mqtt.parser({ protocolVersion: 4 });
  let readTo = socket.sharing.resumedAt;
  parser.on('error', () => socket.destroy());
  parser.on('packet', (packet) => {
    readTo += sizeOf(packet);
    // What is not committed is given to the next process.
    if (leaving) return;
    if (packet.cmd === 'disconnect') socket.end();
    // A broker must not grant what it cannot do.
    else if (packet.qos === 2 && packet.cmd === 'publish') socket.destroy();
    else take(packet);
  });
  const take = (packet) => {
    const record = toRecord(packet);
    if (record !== undefined) log.append(id, readTo, record);
    socket.commit(readTo).catch(() => {});
  };
  socket.on('data', (chunk) => {
    if (parser.parse(chunk) > MAX_PACKET_BYTES) socket.destroy();
  });
}

/** In bytes: the first byte, the length in seven bits each, and what it counts (MQTT 3.1.1 §2.2). */
function sizeOf({ length }) {
  let lengthBytes = 1;
  for (let rest = length; rest > 127; rest = Math.floor(rest / 128)) lengthBytes += 1;
  return 1 + lengthBytes + length;
}

process.once('SIGTERM', async () => {
  // 1. Take nothing more from clients, and say nothing more to them. 2. Give every connection away; the port stays open.
  // 3. Exit, also when a client does not read: it costs nothing, as a crash does.
  leaving = true;
  for (const follower of followers) follower.stop();
  setTimeout(() => process.exit(), 5_000);
  await server.handOff();
  process.exit();
});

server.listen(port, () => console.log(`process ${process.pid} is the broker, port ${server.address().port}`));
