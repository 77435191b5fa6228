// Whose a TCP socket is, against the kernel: our own, another user's, one that its process has closed.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { CAN_BECOME_OTHERS, OTHER_UID, runAsOther } from '#helpers/other-user.js';
import { runNodeForJson } from '#helpers/run-node.js';
import type { Scope } from '#helpers/scope.js';
import { waitFor, within } from '#helpers/wait-for.js';
import { tcpSocketUid } from '#src/native/socket-owner.js';

const ownUid = process.getuid?.();

/** A port that answers whose each client is, at the moment when it is accepted. */
async function askingPort(scope: Scope, host: string) {
  const server = createServer({ allowHalfOpen: true });
  server.listen(0, host);
  await once(server, 'listening');
  scope.after(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const accepted = async () => {
    const [socket] = (await within(once(server, 'connection'), { what: 'a client' })) as [Socket];
    socket.on('error', () => {});
    scope.after(() => void socket.destroy());
    return socket;
  };
  return { port, accepted };
}

const ownerOf = ({ remoteAddress = '', remotePort = 0, localAddress = '', localPort = 0 }: Socket) =>
  tcpSocketUid({ address: remoteAddress, port: remotePort }, { address: localAddress, port: localPort });

for (const host of ['127.0.0.1', '127.0.0.7', '::1']) {
  test(`P10: a client on ${host} is its user's, from the first byte to the last, and a port its listener's`, async (t) => {
    const { port, accepted } = await askingPort(t, host);
    const none = { address: host === '::1' ? '::' : '0.0.0.0', port: 0 };
    assert.equal(tcpSocketUid({ address: host, port }, none), ownUid);
    const waiting = accepted();
    const client = connect({ port, host, allowHalfOpen: true });
    client.on('error', () => {});
    t.after(() => void client.destroy());
    const socket = await waiting;
    assert.equal(ownerOf(socket), ownUid);
    client.end('a request, and no more');
    await once(socket.resume(), 'end');
    assert.equal(ownerOf(socket), ownUid);
  });
}

test('P10: a client that is gone is not taken for one who listens on its port', async (t) => {
  const { port } = await askingPort(t, '127.0.0.1');
  assert.equal(
    tcpSocketUid({ address: '127.0.0.1', port }, { address: '127.0.0.1', port: port - 1 }),
    undefined,
  );
});

test('P10: a client of another user is that user’s', async (t) => {
  const { port, accepted } = await askingPort(t, '127.0.0.1');
  const waiting = accepted();
  const script = `
    import { connect } from 'node:net';
    becomeOther();
    const socket = connect(Number(process.argv[1]), '127.0.0.1');
    socket.on('close', () => console.log('"done"'));
    socket.resume();
  `;
  if (!CAN_BECOME_OTHERS) {
    await assert.rejects(runAsOther(script, [String(port)]), /EPERM/);
    return;
  }
  const done = runAsOther(script, [String(port)]);
  const socket = await waiting;
  assert.equal(ownerOf(socket), OTHER_UID);
  socket.destroy();
  await done;
});

test('P10: a socket that its process has closed is nobody’s, though the kernel shows it as root’s', async (t) => {
  const { port, accepted } = await askingPort(t, '127.0.0.1');
  const waiting = accepted();
  await runNodeForJson(
    `
    import { connect } from 'node:net';
    const socket = connect(Number(process.argv[1]), '127.0.0.1', () => socket.end('a request', () => process.exit()));
    process.on('exit', () => console.log('"gone"'));
  `,
    { arguments: [String(port)] },
  );
  const socket = await waiting;
  await waitFor(() => ownerOf(socket) === undefined, { what: 'the socket to be nobody’s' });
});

test('there is no owner where there is no socket', () => {
  const here = { address: '127.0.0.1', port: 1 };
  assert.equal(tcpSocketUid(here, here), undefined);
});
