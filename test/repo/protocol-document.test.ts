// PROTOCOL.md against the code, in both directions: calls and events with their fields and types, replies, codes, limits.
// Its dialogues are replayed in test/e2e/protocol-examples.test.ts; here their lines are checked for form.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type * as v from 'valibot';
import { DEFAULT_CONFIG } from '#src/daemon/config.js';
import { ERROR_CODES } from '#src/errors.js';
import * as limits from '#src/protocol/limits.js';
import { encodeLine } from '#src/protocol/line-codec.js';
import { messageRuleSchema } from '#src/protocol/message-splitter.js';
import {
  events,
  laneCalls,
  laneEvents,
  laneReplySchema,
  linkCalls,
  openEventSchema,
  parseEvent,
  parseLaneCall,
  parseLaneReply,
  parseLinkCall,
  parseLinkReply,
  parseOpenEvent,
  tlsInfoSchema,
} from '#src/protocol/messages.js';
import { groupSettingsSchema, listenAddressSchema, serverKeySchema } from '#src/protocol/server-key.js';
import { namedContext } from '#src/protocol/server-messages.js';
import { contextSchema, SECRET_KEY_FIELDS, sessionKeySchema } from '#src/protocol/session-key.js';
import { dialoguesOf } from '../e2e/dialogue.ts';
import { filesBelow, tableAfter, textOf } from './repository.ts';
import { rowsOf } from './schema-text.ts';

const page = textOf('PROTOCOL.md');

/** Schemas that have a section of their own. */
const NAMED = new Map<v.GenericSchema, string>([
  [sessionKeySchema, 'session key'],
  [tlsInfoSchema, 'TLS description'],
  [messageRuleSchema, 'message rule'],
  [openEventSchema, 'open event'],
  [contextSchema, 'secure context'],
  [serverKeySchema, 'server options'],
  [listenAddressSchema, 'listen address'],
  [groupSettingsSchema, 'group settings'],
  [namedContext, 'named context'],
]);

/** The text of a section, up to the next heading of its level or above. */
function section(heading: string): string {
  const level = heading.indexOf(' ');
  const start = page.indexOf(`\n${heading}\n`);
  assert.notEqual(start, -1, `there is no section "${heading}"`);
  const rest = page.slice(start + heading.length + 2);
  const end = rest.search(new RegExp(`^#{1,${level}} `, 'm'));
  return `\n${heading}\n${end === -1 ? rest : rest.slice(0, end)}`;
}

/** Field and type of each row below a heading within a text. */
function fieldsBelow(text: string, heading: string): string[][] {
  return tableAfter(text, heading).map(([field = '', type = '']) => [field, type]);
}

const words = (schema: v.GenericSchema) => rowsOf(schema, NAMED).map(([field, type]) => [field, type]);

const TABLES = [
  ['## Calls that open a lane', laneCalls],
  ['## Lines on a lane before the reply', laneEvents],
  ['## Calls on a link', linkCalls],
  ['## Events on a link', events],
] as const;

for (const [heading, table] of TABLES) {
  test(`"${heading.slice(3)}" has every name, each with every field and its type, and no other`, () => {
    const text = section(heading);
    const named = [...text.matchAll(/^### `([^`]+)`$/gm)].map(([, name]) => name);
    assert.deepEqual(named, Object.keys(table));
    for (const [name, schema] of Object.entries(table)) {
      assert.deepEqual(fieldsBelow(text, `### \`${name}\``), words(schema as v.GenericSchema), name);
    }
  });
}

test('the reply of a lane and the TLS description have every field with its type', () => {
  const [done, failed] = laneReplySchema.options;
  const text = section('## The reply of a lane');
  assert.deepEqual(fieldsBelow(text, '## The reply of a lane'), words(done));
  const afterFailure = text.slice(text.indexOf('\nFailed:'));
  assert.deepEqual(fieldsBelow(`\n## Failed\n${afterFailure}`, '## Failed'), words(failed));
  assert.deepEqual(fieldsBelow(page, '### TLS description'), words(tlsInfoSchema));
});

test('the session key and what a server is made with have every field with its type', () => {
  const context = fieldsBelow(page, '### Secure context');
  assert.deepEqual(context, words(contextSchema));
  assert.deepEqual([...fieldsBelow(page, '## Session key'), ...context], words(sessionKeySchema));
  // The fields of the context follow the name of one.
  const [name = [], ...others] = fieldsBelow(page, '### Server options');
  assert.deepEqual([name, ...context, ...others], words(serverKeySchema));
  assert.deepEqual(fieldsBelow(page, '### Listen address'), words(listenAddressSchema));
  assert.deepEqual(fieldsBelow(page, '### Group settings'), words(groupSettingsSchema));
  assert.deepEqual(fieldsBelow(page, '### Named context'), words(namedContext));
});

test('the session key marks its secrets', () => {
  const rows = ['## Session key', '### Secure context'].flatMap((heading) => tableAfter(page, heading));
  const marked = rows.filter(([, , meaning = '']) => meaning.endsWith('Secret.'));
  assert.deepEqual(marked.map(([field]) => field).sort(), [...SECRET_KEY_FIELDS].sort());
});

test('the limits have the values of the code, and none is left out', () => {
  const numbers = Object.entries(limits).filter(([, value]) => typeof value === 'number');
  const rows = tableAfter(page, '## Limits').map(([name = '', value = '']) => [
    name,
    Number(value.replaceAll(',', '')),
  ]);
  assert.deepEqual(rows.sort(), numbers.sort());
});

test('numbers in the text are those of the code', () => {
  const seconds = (ms: number) => `${ms / 1000} s`;
  const said: [text: string, value: string | number][] = [
    ['Version of the protocol: **1**', limits.PROTOCOL_VERSION],
    ['1,048,576 bytes with its newline', limits.MAX_LINE_BYTES],
    ['`--hello-timeout` (5 s)'.replaceAll('`', ''), seconds(DEFAULT_CONFIG.helloTimeoutMs)],
    ['`--handle-ttl` (60 s)', seconds(DEFAULT_CONFIG.handleTtlMs)],
    ['at most 65,536; 0 for all types', limits.MAX_FRAME_PAYLOAD_BYTES],
    ['is 262,144 bytes', limits.FRAME_WINDOW_BYTES],
    ['At most 524,288 bytes before base64', limits.MAX_BLOB_CHUNK_BYTES],
    ['may have 8,388,608 bytes', limits.MAX_BLOB_BYTES],
    ['At most 65,536 bytes', limits.MAX_STATE_BYTES],
  ];
  for (const [text, value] of said) {
    assert.ok(page.includes(text), `the page does not say "${text}"`);
    assert.ok(text.replaceAll(',', '').includes(String(value)), `${text}: ${value}`);
  }
});

/** Codes that the daemon's code has for its own start, and that never travel. */
const NOT_ON_THE_WIRE = new Set([
  'ERR_TLSHUB_ALREADY_RUNNING',
  'ERR_TLSHUB_DIRECTORY',
  'ERR_TLSHUB_PEER_CREDENTIALS',
  'ERR_TLSHUB_SOCKET_PATH',
  'ERR_TLSHUB_START_FAILED',
]);

test('the codes are those that the daemon gives, and each call names only codes that there are', () => {
  const files = [
    ...filesBelow('src/daemon', '.ts'),
    ...filesBelow('src/protocol', '.ts'),
    'src/link/message-connection.ts',
  ];
  const given = new Set(
    files.flatMap((path) => [...textOf(path).matchAll(/'(ERR_TLSHUB_[A-Z_]+)'/g)].map(([, code]) => code)),
  );
  const expected = [...given].filter((code) => code !== undefined && !NOT_ON_THE_WIRE.has(code)).sort();
  const listed = tableAfter(page, '## Error codes').map(([code]) => code);
  assert.deepEqual([...listed].sort(), expected);
  assert.deepEqual(listed, [...listed].sort());
  for (const [, line = ''] of page.matchAll(/^Errors: (.*)\.$/gm)) {
    for (const [code] of line.matchAll(/ERR_TLSHUB_[A-Z_]+/g)) assert.ok(code in ERROR_CODES, code);
  }
});

test('every line of the dialogues is canonical, and fits its schema', () => {
  let lines = 0;
  for (const [heading, steps] of dialoguesOf(page)) {
    for (const { direction, text } of steps) {
      if (!text.startsWith('{')) continue;
      lines += 1;
      const message = JSON.parse(text) as Record<string, unknown>;
      assert.equal(encodeLine(message).toString(), `${text}\n`, heading);
      if (direction === '>') checkFromClient(message);
      else checkFromDaemon(message);
    }
  }
  assert.ok(lines > 50, `${lines} lines`);
});

function checkFromClient(message: Record<string, unknown>): void {
  if ('event' in message) parseEvent(message);
  else if (message.call === 'lease' || message.call === 'attach') parseLaneCall(message);
  else if (message.call !== 'nonsense' && message.id !== 5) parseLinkCall(message);
}

function checkFromDaemon(message: Record<string, unknown>): void {
  if (message.event === 'open') parseOpenEvent(message);
  else if ('event' in message) parseEvent(message);
  else if ('reply' in message) parseLinkReply(message);
  else parseLaneReply(message);
}

test('every call and every code of the page is shown by its own name', () => {
  const known = new Set([...Object.keys(linkCalls), ...Object.keys(laneCalls)]);
  for (const [, name = ''] of page.matchAll(/"call":"([^"]+)"/g)) {
    assert.ok(known.has(name) || name === 'nonsense', name);
  }
  for (const [code] of page.matchAll(/ERR_TLSHUB_[A-Z_]*[A-Z]/g)) assert.ok(code in ERROR_CODES, code);
});
