// P6 for endpoints of kind http: many clients at once over few sessions, and each gets its own bytes, whatever is split,
// pipelined, long or slow.
import assert from 'node:assert/strict';
import { createServer } from 'node:https';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { listen } from '#helpers/listen.js';
import { waitFor } from '#helpers/wait-for.js';
import { createCa } from '#src/cli/demo/pki.js';
import { openDoor, RawClient } from './http-door.ts';

const CLIENTS = 24;
const REQUESTS = 30;
const DEADLINE_MS = 60_000;

test('P6: of many clients at once each gets its own bytes, both ways', async (t) => {
  const root = await createCa({ name: 'Test root' });
  const certificate = await root.issue({ names: ['localhost', '127.0.0.1'] });
  // It answers with what it was sent.
  const origin = createServer(certificate, (request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const body = Buffer.concat(parts);
      response.sendDate = false;
      response.writeHead(200, { 'Content-Length': body.length, 'X-Path': request.url });
      response.end(body);
    });
  });
  const port = await listen(origin);
  t.after(() => {
    origin.closeAllConnections();
    origin.close();
  });
  const door = await openDoor(t, { port, ca: root.cert, limits: { maxSessionsPerKey: 4 }, waitMs: 30_000 });
  await Promise.all(Array.from({ length: CLIENTS }, (_, number) => serve(number)));
  assert.ok(door.table.size <= 4);

  async function serve(number: number): Promise<void> {
    const client = new RawClient(t, door.port);
    let sent = '';
    let wanted = '';
    for (let count = 0; count < REQUESTS; count += 1) {
      const path = `/${number}/${count}`;
      const length = count % 3 === 0 ? 0 : Math.floor(Math.random() ** 4 * 100_000);
      const body = `${number},`.repeat(length).slice(0, length);
      sent += `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n${body}`;
      wanted += `HTTP/1.1 200 OK\r\nX-Path: ${path}\r\nContent-Length: ${length}\r\n\r\n${body}`;
    }
    for (let at = 0; at < sent.length; ) {
      const end = at + 1 + Math.floor(Math.random() ** 2 * 60_000);
      client.socket.write(sent.slice(at, end), 'latin1');
      at = end;
      if (number % 4 === 0) client.socket.pause();
      for (let turns = Math.random() * 5; turns > 0; turns -= 1) await turn();
      client.socket.resume();
    }
    await waitFor(() => client.text.length >= wanted.length || client.end !== undefined, {
      what: () => `${client.text.length} of ${wanted.length} bytes`,
      deadlineMs: DEADLINE_MS,
    });
    assert.ok(client.text === wanted, `client ${number} got other bytes, ${client.end}`);
    client.socket.destroy();
  }
});
