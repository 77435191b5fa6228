// Values that no option takes all of.
import { clientA } from './context-fixtures.js';

/** Values of all kinds, of which node:tls refuses most for most options. */
export const ODD_VALUES: readonly unknown[] = [
  ...[
    undefined,
    null,
    true,
    false,
    0,
    1,
    -1,
    0.5,
    48,
    1024,
    70_000,
    2 ** 31,
    Number.NaN,
    Number.POSITIVE_INFINITY,
  ],
  ...['', 'x', '1', ' 80 ', 'a\0b', '127.0.0.1', 'TLSv1.2', 'TLSv9', 'auto', 'x'.repeat(300)],
  ...[
    Buffer.alloc(0),
    Buffer.alloc(48),
    Buffer.from('x'),
    new Uint8Array(3),
    new DataView(new ArrayBuffer(2)),
  ],
  ...[
    [],
    [null],
    [1],
    ['x'],
    [Buffer.from('x')],
    [{}],
    [{ pem: 'x' }],
    [{ buf: Buffer.from('x') }],
    ['zlib'],
  ],
  ...[{}, { pem: clientA.key }, () => undefined, Symbol('odd'), 5n, new Date(0)],
];
