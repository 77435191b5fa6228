// The example dialogues of PROTOCOL.md: read from the page, played against a real daemon line by line, and written down
// as they really went. Values that differ from run to run (ports, certificates, handles) are translated.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { Scope } from '#helpers/scope.js';
import { WireClient } from '../fuzz/wire-client.ts';

/** One step of a dialogue. */
export interface Step {
  connection: string;
  /** A line or raw bytes, to or from the daemon. */
  direction: '>' | '<' | '>>' | '<<';
  /** As it stands on the page. */
  text: string;
}

/** Where a dialogue is played. */
export interface Stage {
  directory: string;
  /** Of the origin. */
  port: number;
  /** The CA that the origin's certificate comes from, PEM. */
  ca: string;
  /** A certificate of that CA and its key, for servers of the dialogue, PEM. */
  leaf: { cert: string; key: string };
}

/** The dialogues of a page, by the heading above each. */
export function dialoguesOf(markdown: string): Map<string, Step[]> {
  const found = new Map<string, Step[]>();
  for (const [, heading = '', body = ''] of markdown.matchAll(
    /^### (.*)\n(?:(?!^#)[\s\S])*?^```dialogue\n([\s\S]*?)^```$/gm,
  )) {
    found.set(heading, body.trimEnd().split('\n').map(stepOf));
  }
  return found;
}

function stepOf(line: string): Step {
  const [, connection = '', direction = '', text = ''] = /^(\w+) (>>|<<|>|<) (.+)$/.exec(line) ?? [];
  if (connection === '') throw new Error(`this is no step of a dialogue: ${line}`);
  return { connection, direction: direction as Step['direction'], text };
}

/** Values of the page and what they are here; longer ones first, so that none is part of another. */
class Translation {
  readonly #pairs: [page: string, here: string][] = [];

  learn(page: string, here: string): void {
    if (page !== here && !this.#pairs.some(([known]) => known === page)) this.#pairs.push([page, here]);
    this.#pairs.sort(([left], [right]) => right.length - left.length);
  }

  apply(text: string): string {
    return this.#pairs.reduce((result, [page, here]) => result.replaceAll(page, here), text);
  }
}

/** The first step of a client of a server of the dialogue; its connection is to the port that was opened last. */
const HANDSHAKE = 'TLS';

/** Plays a dialogue; answers its lines as they went. */
export async function play(scope: Scope, steps: readonly Step[], stage: Stage): Promise<string[]> {
  const translation = translate(steps, stage);
  const connections = new Map<string, WireClient>();
  const went: string[] = [];
  let port = 0;
  for (const { connection, direction, text } of steps) {
    let client = connections.get(connection);
    if (client === undefined) {
      client = await (text === HANDSHAKE
        ? WireClient.openTls(scope, port)
        : WireClient.open(scope, stage.directory));
      connections.set(connection, client);
    }
    const shown = text === HANDSHAKE ? text : await playStep(client, direction, text, translation);
    went.push(`${connection} ${direction} ${shown}`);
    port = Number(OPENED_PORT.exec(shown)?.[1] ?? port);
  }
  for (const client of connections.values()) client.socket.destroy();
  return went;
}

/** In the reply of `listen`. */
const OPENED_PORT = /"address":\{[^{}]*"port":(\d+)\}/;

/** What can be known beforehand: port, name and contents of the CA list, certificate and key of a server. */
function translate(steps: readonly Step[], stage: Stage): Translation {
  const translation = new Translation();
  const text = steps.map((step) => step.text).join('\n');
  const base64 = (pem: string) => Buffer.from(pem).toString('base64');
  const [, cert, key] = /"cert":\["([^"]+)"\],"key":\[\{"data":"([^"]+)"/.exec(text) ?? [];
  if (cert !== undefined && key !== undefined) {
    translation.learn(cert, base64(stage.leaf.cert));
    translation.learn(key, base64(stage.leaf.key));
    // The page has no other peer then: its ports are those that the daemon opens, and it trusts nobody.
    return translation;
  }
  const port = /"port":(\d+),/.exec(text)?.[1];
  if (port !== undefined) translation.learn(`"port":${port},`, `"port":${stage.port},`);
  const sha256 = /"ca":"([0-9a-f]{64})"/.exec(text)?.[1];
  if (sha256 !== undefined) translation.learn(sha256, createHash('sha256').update(stage.ca).digest('hex'));
  const data = /"call":"put".*"data":"([^"]+)"/.exec(text)?.[1];
  if (data !== undefined) translation.learn(data, base64(stage.ca));
  return translation;
}

async function playStep(
  client: WireClient,
  direction: Step['direction'],
  text: string,
  translation: Translation,
): Promise<string> {
  const here = translation.apply(text);
  switch (direction) {
    case '>':
      if (here === 'FIN') client.socket.end();
      else client.sendRaw(`${here}\n`);
      return here;
    case '>>':
      client.sendRaw(bytesOf(here));
      return here;
    case '<<': {
      const bytes = await client.bytes(bytesOf(here).length);
      return here.startsWith('#') ? `#${bytes.toString('hex')}` : JSON.stringify(bytes.toString());
    }
    default: {
      if (here === 'FIN') {
        assert.equal((await client.end()).toString(), '', 'bytes that the dialogue does not show');
        return here;
      }
      let line = await client.line();
      // They come when the peer likes.
      while (line?.event === 'ticket') line = await client.line();
      if (here.startsWith('{')) learnFrom(JSON.parse(text), line, translation);
      return JSON.stringify(line);
    }
  }
}

function bytesOf(text: string): Buffer {
  return text.startsWith('#') ? Buffer.from(text.slice(1), 'hex') : Buffer.from(JSON.parse(text) as string);
}

/** Names that the daemon gives, and that the client uses later. */
function learnFrom(
  page: Record<string, unknown>,
  here: Record<string, unknown> | undefined,
  translation: Translation,
): void {
  for (const name of ['handle', 'generation', 'session']) {
    const [theirs, ours] = [page[name], here?.[name]];
    if (typeof theirs === 'string' && typeof ours === 'string') translation.learn(theirs, ours);
  }
  const [theirs, ours] = [page, here].map((line) => OPENED_PORT.exec(JSON.stringify(line))?.[1]);
  if (theirs !== undefined && ours !== undefined) translation.learn(`"port":${theirs},`, `"port":${ours},`);
}

/** Fields whose values are different in each run, or on each machine; only their kind is compared. */
const VOLATILE: ReadonlySet<string> = new Set([
  'pid',
  'version',
  'generation',
  'handle',
  'args',
  'tls',
  'ageMs',
  'stateMs',
  'idleMs',
  'peer',
  'holders',
  'port',
]);

/** Fails unless two lines say the same: same fields in the same order, same values where they do not vary. */
export function assertSameLine(here: string, page: string): void {
  if (!here.includes(' {') || !page.includes(' {')) {
    assert.equal(here, page);
    return;
  }
  const [theirs, ours] = [page, here].map((line) => line.slice(line.indexOf(' {') + 1)) as [string, string];
  assert.equal(here.slice(0, here.indexOf(' {')), page.slice(0, page.indexOf(' {')));
  assertSameValue(JSON.parse(ours), JSON.parse(theirs), page);
}

function assertSameValue(here: unknown, page: unknown, where: string): void {
  if (typeof page !== 'object' || page === null || Array.isArray(page)) {
    assert.deepEqual(withoutVersions(here), withoutVersions(page), where);
    return;
  }
  assert.deepEqual(Object.keys(here as object), Object.keys(page), where);
  for (const [name, value] of Object.entries(page)) {
    const ours = (here as Record<string, unknown>)[name];
    if (name === 'tls')
      assert.deepEqual(Object.keys(ours as object), Object.keys(value), `${where}: ${name}`);
    else if (name === 'events') assert.deepEqual(eventNames(ours), eventNames(value), `${where}: ${name}`);
    else if (VOLATILE.has(name)) assert.equal(typeof ours, typeof value, `${where}: ${name}`);
    else assertSameValue(ours, value, `${where}: ${name}`);
  }
}

function eventNames(events: unknown): unknown[] {
  return (events as unknown[][]).map(([name]) => name);
}

/** Messages name the version of the package. */
function withoutVersions(value: unknown): unknown {
  return typeof value === 'string' ? value.replaceAll(/\d+\.\d+\.\d+(?!\.)/g, 'VERSION') : value;
}
