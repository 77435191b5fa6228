// One of many: joins the session "logs", or opens it, and writes its records, each with one write() call.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import tls from 'tlshub';
import { makeRecord } from './records.mjs';

const [port, caFile, number, count] = process.argv.slice(2);
const socket = tls.connect({
  host: 'localhost',
  port,
  ca: readFileSync(caFile),
  shared: { name: 'logs', mode: 'broadcast', fallback: false },
});
await once(socket, 'secureConnect');
for (let index = 0; index < Number(count); index += 1) {
  const record = makeRecord(`${number}-${index}`);
  // The daemon has the record when this resolves: it will be sent, whole, even if this process is killed then.
  await new Promise((resolve, reject) => {
    socket.write(record, (error) => (error ? reject(error) : resolve()));
  });
}
await socket.release();
