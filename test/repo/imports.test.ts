// Which folder may import which: protocol ← link ← daemon | wrapper ← cli | integrations. Daemon and wrapper never meet.
import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { importsOf, sourceFiles, textOf } from './repository.ts';

interface Layer {
  /** Folders and files of src that it may import besides itself. */
  readonly own: readonly string[];
  /** Packages of others. */
  readonly packages: readonly string[];
  /** Modules of Node that it must not use. */
  readonly withoutNode?: RegExp;
}

const BASE = ['errors.ts', 'version.ts'];
const NETWORK = /^node:(net|tls|http|https|http2|dgram|child_process|worker_threads)$/;

/** Every folder and file directly in src. */
const LAYERS: Readonly<Record<string, Layer>> = {
  'errors.ts': { own: [], packages: [], withoutNode: /./ },
  'version.ts': { own: [], packages: [] },
  protocol: { own: BASE, packages: ['valibot'], withoutNode: NETWORK },
  native: { own: BASE, packages: ['koffi'] },
  link: { own: [...BASE, 'protocol'], packages: [] },
  daemon: { own: [...BASE, 'protocol', 'link', 'native'], packages: ['pino', 'smol-toml', 'valibot'] },
  wrapper: { own: [...BASE, 'protocol', 'link', 'native'], packages: ['valibot'] },
  integrations: { own: [...BASE, 'wrapper'], packages: [] },
  cli: {
    own: [...BASE, 'protocol', 'link', 'wrapper', 'daemon', 'index.ts'],
    packages: ['commander', '@peculiar/x509', 'reflect-metadata'],
  },
  'index.ts': { own: [...BASE, 'wrapper'], packages: [] },
  'https.ts': { own: ['wrapper'], packages: [] },
  'http2.ts': { own: ['wrapper'], packages: [] },
  'register.ts': { own: ['wrapper'], packages: [] },
  'ssl.ts': { own: ['wrapper'], packages: [] },
};

/** Imports that break a rule for a reason. */
const EXCEPTIONS: Readonly<Record<string, string>> = {
  'src/protocol/default-ca.ts node:tls': 'wrapper and daemon must name what a process trusts in the same way',
};

const partOf = (path: string) => path.split('/')[1] ?? '';

test('every part of src has its place', () => {
  const parts = new Set(sourceFiles().map(partOf));
  for (const part of parts) assert.ok(LAYERS[part] !== undefined, `src/${part} has no rule`);
});

test('files import only what their layer may', () => {
  const broken: string[] = [];
  const used = new Set<string>();
  for (const path of sourceFiles()) {
    const part = partOf(path);
    const layer = LAYERS[part];
    for (const name of importsOf(textOf(path))) {
      const entry = `${path} ${name}`;
      if (EXCEPTIONS[entry] !== undefined) used.add(entry);
      else if (!isAllowed(path, part, layer, name)) broken.push(entry);
    }
  }
  assert.deepEqual(broken, []);
  assert.deepEqual([...used], Object.keys(EXCEPTIONS), 'an exception that nobody needs any more');
});

function isAllowed(path: string, part: string, layer: Layer | undefined, name: string): boolean {
  if (layer === undefined) return false;
  if (name.startsWith('node:')) return layer.withoutNode?.test(name) !== true;
  if (!name.startsWith('.')) return layer.packages.includes(name);
  if (name.endsWith('package.json')) return part === 'version.ts';
  const target = partOf(join(dirname(path), name));
  return target === part || layer.own.includes(target);
}

test('relative imports name the file that is there, ending included', () => {
  for (const path of sourceFiles()) {
    for (const name of importsOf(textOf(path)).filter((candidate) => candidate.startsWith('.'))) {
      if (name.endsWith('.json')) continue;
      assert.ok(sourceFiles().includes(join(dirname(path), name)), `${path} imports ${name}`);
    }
  }
});

test('one file of the daemon makes TLS connections, one file constructs its parts', () => {
  const daemon = sourceFiles().filter((path) => path.startsWith('src/daemon/'));
  const connects = daemon.filter((path) =>
    /^\s+connect,$|import \{[^}]*\bconnect\b[^}]*\} from 'node:tls'/m.test(textOf(path)),
  );
  assert.deepEqual(connects, ['src/daemon/upstream.ts']);
  const constructs = daemon.filter((path) =>
    /new (Pool|LaneDesk|Upstream|Links|Janitor|Handles)\(/.test(textOf(path)),
  );
  assert.deepEqual(constructs, ['src/daemon/daemon.ts']);
});
