// Two processes on one TLS session: the first reads a line from the upstream, the second answers it. See README.md.
//
//   node examples/reader-and-writer/run.mjs
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { makeScene } from '../scene.mjs';

const scene = await makeScene();
let handshakes = 0;
const heard = new Promise((resolve) => {
  scene.serve((socket) => {
    handshakes += 1;
    socket.write('what is 6 times 7?\n');
    socket.once('data', resolve);
    socket.on('end', () => socket.end());
  });
});
const { port, caFile } = await scene.listening;

const run = async (script) => {
  const child = fork(fileURLToPath(new URL(script, import.meta.url)), [`${port}`, caFile]);
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`${script} ended with ${code}`);
};

try {
  await run('reader.mjs');
  await run('writer.mjs');
  console.log(`the upstream got: ${String(await heard).trim()}`);
  console.log(`handshakes: ${handshakes}`);
} finally {
  await scene.close();
}
