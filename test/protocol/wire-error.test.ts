// Errors across the wire: class, code, message and documented fields arrive; stacks and certificates do not leave.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { unusedPort } from '#helpers/listen.js';
import { TlshubError } from '#src/errors.js';
import type { WireError } from '#src/protocol/messages.js';
import { decodeError, encodeError } from '#src/protocol/wire-error.js';

/** There and back again, through JSON as on the wire. */
function cross(error: Error): Error & Record<string, unknown> {
  const wire = JSON.parse(JSON.stringify(encodeError(error))) as WireError;
  return decodeError(wire) as Error & Record<string, unknown>;
}

async function refusedConnection(host: string): Promise<Error & Record<string, unknown>> {
  const port = await unusedPort();
  return new Promise((resolve) => {
    connect({ host, port }).on('error', (error) => resolve(error as Error & Record<string, unknown>));
  });
}

test('a system error keeps its code, message and fields', async () => {
  const original = await refusedConnection('127.0.0.1');
  const copy = cross(original);
  assert.equal(copy.code, 'ECONNREFUSED');
  assert.equal(copy.message, original.message);
  for (const field of ['errno', 'syscall', 'address', 'port'])
    assert.equal(copy[field], original[field], field);
  assert.deepEqual(Object.keys(copy).sort(), Object.keys(original).sort());
  assert.equal(copy.constructor, Error);
});

test('an AggregateError keeps the errors in it', () => {
  const parts = ['::1', '127.0.0.1'].map((address) =>
    Object.assign(new Error(`connect ECONNREFUSED ${address}:1`), { code: 'ECONNREFUSED', address, port: 1 }),
  );
  const copy = cross(Object.assign(new AggregateError(parts), { code: 'ECONNREFUSED' }));
  assert.ok(copy instanceof AggregateError);
  assert.equal(copy.code, 'ECONNREFUSED');
  assert.deepEqual(
    copy.errors.map((part: Error & { address?: string }) => [part.message, part.address]),
    [
      ['connect ECONNREFUSED ::1:1', '::1'],
      ['connect ECONNREFUSED 127.0.0.1:1', '127.0.0.1'],
    ],
  );
});

test('classes of Node and of tlshub arrive as what they were', () => {
  const type = cross(Object.assign(new TypeError('wrong'), { code: 'ERR_INVALID_ARG_TYPE' }));
  assert.ok(type instanceof TypeError);
  assert.equal(type.code, 'ERR_INVALID_ARG_TYPE');
  assert.ok(cross(new RangeError('far')) instanceof RangeError);
  const own = cross(new TlshubError('ERR_TLSHUB_SESSION_BUSY', 'held by 4711'));
  assert.ok(own instanceof TlshubError);
  assert.deepEqual(
    [own.code, own.message, own.name],
    ['ERR_TLSHUB_SESSION_BUSY', 'held by 4711', 'TlshubError'],
  );
});

test('P13: neither stack nor certificate nor unknown fields leave the daemon', () => {
  const error = Object.assign(new Error('Hostname/IP does not match'), {
    code: 'ERR_TLS_CERT_ALTNAME_INVALID',
    reason: 'not in the list',
    host: 'a.test',
    cert: { raw: Buffer.from('der') },
    context: { key: 'private' },
  });
  const wire = encodeError(error, { certificates: ['ZGVy'], rooted: true });
  assert.deepEqual(JSON.parse(JSON.stringify(wire)), {
    message: 'Hostname/IP does not match',
    name: 'Error',
    code: 'ERR_TLS_CERT_ALTNAME_INVALID',
    host: 'a.test',
    reason: 'not in the list',
    certs: ['ZGVy'],
    certsRooted: true,
  });
});

test('whatever a peer sends as an error becomes an error, and takes over nothing else', () => {
  const wire = {
    message: 'm',
    name: 'constructor',
    code: 'ERR_TLSHUB_NO_SUCH_CODE',
    stack: 'theirs',
    errors: [null, 1, 'x', { message: 1 }, { message: 'inner' }],
    toString: 'x',
  } as unknown as WireError;
  const error = decodeError(wire) as AggregateError & { code?: string };
  assert.equal(error.code, 'ERR_TLSHUB_NO_SUCH_CODE');
  assert.ok(!(error instanceof TlshubError));
  assert.notEqual(error.stack, 'theirs');
  assert.equal(typeof error.toString, 'function');
  assert.deepEqual(
    error.errors.map((inner: Error) => inner.message),
    ['inner'],
  );
  assert.equal(decodeError({ message: 'm', name: '__proto__' }).constructor, Error);
});
