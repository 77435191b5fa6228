// Fifty processes write records over one TLS connection to a syslog-style server (RFC 5425: the length, a blank, the
// record). See README.md.
//
//   node examples/log-shipper/run.mjs [PROCESSES] [RECORDS_OF_EACH]
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { makeScene } from '../scene.mjs';
import { checkRecord, splitRecords } from './records.mjs';

const [processes = 50, recordsOfEach = 20] = process.argv.slice(2).map(Number);
/** Processes that run at once; more would only wait for a processor. */
const AT_ONCE = 10;

const scene = await makeScene();
const seen = new Set();
let handshakes = 0;
let broken = 0;
scene.serve((socket) => {
  handshakes += 1;
  let rest = Buffer.alloc(0);
  socket.on('data', (chunk) => {
    const { records, tail } = splitRecords(Buffer.concat([rest, chunk]));
    rest = tail;
    for (const record of records) {
      const id = checkRecord(record);
      if (id === undefined || seen.has(id)) broken += 1;
      else seen.add(id);
    }
  });
  socket.on('end', () => socket.end());
});
const { port, caFile } = await scene.listening;

const ship = async (number) => {
  const script = fileURLToPath(new URL('ship.mjs', import.meta.url));
  const child = fork(script, [`${port}`, caFile, `${number}`, `${recordsOfEach}`]);
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`process ${number} ended with ${code}`);
};

try {
  let next = 0;
  const worker = async () => {
    while (next < processes) {
      next += 1;
      await ship(next);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  const expected = processes * recordsOfEach;
  const deadline = Date.now() + 10_000;
  while (seen.size < expected && broken === 0 && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const missing = expected - seen.size;
  console.log(`${processes} processes, ${seen.size} records whole, ${broken} broken, ${missing} missing`);
  console.log(`handshakes: ${handshakes}`);
  if (broken > 0 || missing > 0 || handshakes !== 1) process.exitCode = 1;
} finally {
  await scene.close();
}
