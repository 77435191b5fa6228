// The package as its users meet it: every name of node:tls and our own, by import and by require, with types.
import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import nodeTls from 'node:tls';
import { PACKAGE_ROOT, runNodeForJson } from '#helpers/run-node.js';
import { isFile, textOf } from './repository.ts';

/** What tlshub adds to node:tls or puts in place of it. */
const REPLACED_NAMES = ['Server', 'connect', 'createSecureContext', 'createServer'];
const OWN_NAMES = ['Agent', 'TlshubError', 'attach', 'sessions', ...REPLACED_NAMES];

interface PackageJson {
  exports: Record<string, string | { types: string; default: string }>;
  bin: Record<string, string>;
  files: string[];
  imports: Record<string, string>;
}

const packageJson = JSON.parse(textOf('package.json')) as PackageJson;

/** A module's names as another process sees them, with what they are compared to node:tls. */
function namesIn(load: string): Promise<Record<string, string>> {
  return runNodeForJson(`
    import nodeTls from 'node:tls';
    import { createRequire } from 'node:module';
    const require = createRequire(process.cwd() + '/');
    const tlshub = ${load};
    const names = new Set([...Object.keys(nodeTls), ${OWN_NAMES.map((name) => `'${name}'`).join()}]);
    console.log(JSON.stringify(Object.fromEntries(
      [...names].map((name) => [
        name,
        !(name in tlshub) ? 'missing' : tlshub[name] === nodeTls[name] ? 'of node:tls' : typeof tlshub[name],
      ]),
    )));
  `) as Promise<Record<string, string>>;
}

const loads = {
  'the default export': `(await import('tlshub')).default`,
  'the named exports': `await import('tlshub')`,
  require: `require('tlshub')`,
  'the default of require': `require('tlshub').default`,
};

for (const [what, load] of Object.entries(loads)) {
  test(`${what}: every name of node:tls, and our own`, async () => {
    const names = await namesIn(load);
    for (const name of Object.keys(nodeTls)) {
      if (!REPLACED_NAMES.includes(name)) assert.equal(names[name], 'of node:tls', name);
    }
    for (const name of OWN_NAMES) assert.equal(names[name], 'function', name);
  });
}

test('what an application changes on node:tls is seen through the default export', async () => {
  const seen = await runNodeForJson(`
    import nodeTls from 'node:tls';
    import tlshub from 'tlshub';
    nodeTls.DEFAULT_MIN_VERSION = 'TLSv1.3';
    console.log(JSON.stringify(tlshub.DEFAULT_MIN_VERSION));
  `);
  assert.equal(seen, 'TLSv1.3');
});

test('every export of package.json resolves, and has its types', async () => {
  for (const [subpath, target] of Object.entries(packageJson.exports)) {
    const files = typeof target === 'string' ? [target] : [target.types, target.default];
    for (const file of files) assert.ok(isFile(file), `${subpath}: ${file}`);
  }
  const specifiers = Object.keys(packageJson.exports).map((subpath) => `tlshub${subpath.slice(1)}`);
  const resolved = await runNodeForJson(`
    console.log(JSON.stringify(${JSON.stringify(specifiers)}.map((name) => import.meta.resolve(name))));
  `);
  assert.equal((resolved as string[]).length, specifiers.length);
});

test('nothing but the exports can be imported', async () => {
  const seen = await runNodeForJson(`
    const outcome = await import('tlshub/dist/index.js').then(() => 'loaded', ({ code }) => code);
    console.log(JSON.stringify(outcome));
  `);
  assert.equal(seen, 'ERR_PACKAGE_PATH_NOT_EXPORTED');
});

test('loading the package loads no native code, starts no daemon, and lets the process end', async () => {
  const seen = await runNodeForJson(`
    import tls from 'tlshub';
    const { report } = process;
    report.excludeNetwork = true;
    console.log(JSON.stringify(report.getReport().sharedObjects.filter((path) => path.includes('koffi'))));
  `);
  assert.deepEqual(seen, []);
});

test('the command is a program', () => {
  for (const path of Object.values(packageJson.bin)) {
    assert.match(readFileSync(join(PACKAGE_ROOT, path), 'utf8'), /^#!\/usr\/bin\/env node\n/);
    assert.ok((statSync(join(PACKAGE_ROOT, path)).mode & 0o111) !== 0, `${path} cannot be executed`);
  }
});

test('what the package says it ships is there', () => {
  for (const path of packageJson.files.filter((name) => name.endsWith('.md'))) assert.ok(isFile(path), path);
});
