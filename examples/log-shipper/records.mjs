// Records as RFC 5425 frames them, with a checksum inside, so that the server can tell a whole one.
import { createHash } from 'node:crypto';

/** A framed record of a few bytes or many kilobytes. */
export function makeRecord(id) {
  const size = 20 + (createHash('sha256').update(id).digest().readUInt16BE() % 20_000);
  const text = `${id} ${'x'.repeat(size)}`;
  const record = `<14>1 - localhost example - - - ${sha256(text)} ${text}`;
  return `${Buffer.byteLength(record)} ${record}`;
}

/** The id of a record that is whole, or `undefined`. */
export function checkRecord(record) {
  const [, sum, text = ''] = /^<14>1 - localhost example - - - ([0-9a-f]{64}) (.*)$/s.exec(record) ?? [];
  return sum === sha256(text) ? text.split(' ')[0] : undefined;
}

/** The records at the beginning of the bytes, and what is behind the last whole one. */
export function splitRecords(bytes) {
  const records = [];
  let tail = bytes;
  for (;;) {
    const blank = tail.indexOf(' ');
    const length = blank === -1 ? Number.NaN : Number(tail.subarray(0, blank).toString());
    if (blank !== -1 && !Number.isInteger(length)) throw new Error('the records are interleaved');
    if (blank === -1 || tail.length < blank + 1 + length) return { records, tail };
    records.push(tail.subarray(blank + 1, blank + 1 + length).toString());
    tail = tail.subarray(blank + 1 + length);
  }
}

function sha256(text) {
  return createHash('sha256').update(text).digest('hex');
}
