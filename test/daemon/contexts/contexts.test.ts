// The contexts of a daemon: who gets which, and what a reload changes; all or nothing.
import assert from 'node:assert/strict';
import { renameSync, rmSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import type { Scope } from '#helpers/scope.js';
import { type ContextChanges, Contexts } from '#src/daemon/contexts/contexts.js';
import { Logger } from '#src/daemon/log.js';
import { ownUid } from '#src/link/socket-path.js';
import {
  type ContextPki,
  clientSection,
  contextDirectory,
  makeContextPki,
  serverSection,
} from './context-files.ts';

let pki: ContextPki;
before(async () => {
  pki = await makeContextPki();
});

const UID = ownUid();

function setUp(scope: Scope, ...sections: string[]) {
  const directory = contextDirectory(scope, pki);
  if (sections.length > 0) directory.configure(...sections);
  const lines: string[] = [];
  const log = new Logger('info', (line) => lines.push(line));
  const contexts = new Contexts({ directory: directory.path, configFile: null, log });
  contexts.load();
  return { directory, contexts, log, lines };
}

const versionOf = (contexts: Contexts, name: string) => contexts.get(name, UID, 'client').version;

test('without a file there are no contexts, and one that is made later is found', (t) => {
  const { directory, contexts } = setUp(t);
  assert.deepEqual(contexts.counts(), { file: null, server: 0, client: 0 });
  const nothing = { file: null, added: [], changed: [], removed: [] };
  assert.deepEqual(contexts.reload(), nothing);
  directory.configure(clientSection('api'), serverSection('www'));
  const added = ['api', 'www'];
  assert.deepEqual(contexts.reload(), { ...nothing, file: directory.file, added });
  assert.deepEqual(contexts.counts(), { file: directory.file, server: 1, client: 1 });
});

test('a file that was named must be there', (t) => {
  const { directory, log } = setUp(t);
  const configFile = join(directory.path, 'other.toml');
  const contexts = new Contexts({ directory: directory.path, configFile, log });
  assert.throws(() => contexts.load(), {
    code: 'ERR_TLSHUB_CONFIG',
    message: /other\.toml: there is no such file/,
  });
});

test('one that is not there, for others, or of the other side is the same error; the log tells them apart', (t) => {
  const { contexts, lines } = setUp(
    t,
    clientSection('api'),
    clientSection('theirs', `uids = [${UID + 1}]`),
    serverSection('www'),
  );
  assert.equal(contexts.get('api', UID, 'client').ALPNProtocols, null);
  assert.ok(contexts.get('theirs', UID + 1, 'client'));
  assert.ok(contexts.get('www', UID, 'server'));
  const asked: [string, number][] = [
    ['nobody', UID],
    ['theirs', UID],
    ['api', UID + 1],
    ['www', UID],
    ['constructor', UID],
  ];
  const messages = asked.map(([name, uid]) => {
    let message = '';
    assert.throws(
      () => contexts.get(name, uid, 'client'),
      (error: Error & { code?: string }) => {
        message = error.message.replace(name, 'NAME');
        return error.code === 'ERR_TLSHUB_CONTEXT_UNKNOWN';
      },
    );
    return message;
  });
  assert.deepEqual(new Set(messages).size, 1, messages.join('\n'));
  assert.match(messages[0] ?? '', /"tlshub doctor"/);
  const reasons = lines.map((line) => JSON.parse(line).reason as string);
  const users = 'its "uids" do not have this user';
  assert.deepEqual(reasons, ['it is not defined', users, users, 'it is for the server side']);
});

test('a reload names what was added, changed and removed; only what changed has another version', (t) => {
  const { directory, contexts } = setUp(t, clientSection('api'), clientSection('same'), clientSection('old'));
  const [api, same] = [versionOf(contexts, 'api'), contexts.get('same', UID, 'client')];
  const told: ContextChanges[] = [];
  const stop = contexts.onChange((changes) => {
    told.push(changes);
    assert.ok(contexts.get('new', UID, 'server'), 'told before the change');
  });
  directory.write({ 'renewed.pem': pki.renewed.chain, 'renewed.key': pki.renewed.key });
  directory.configure(
    clientSection('api').replaceAll('client.', 'renewed.'),
    clientSection('same'),
    serverSection('new'),
  );
  const changes = { added: ['new'], changed: ['api'], removed: ['old'] };
  assert.deepEqual(contexts.reload(), { file: directory.file, ...changes });
  assert.deepEqual(told, [changes]);
  assert.notEqual(versionOf(contexts, 'api'), api);
  assert.equal(contexts.get('same', UID, 'client'), same);
  assert.throws(() => contexts.get('old', UID, 'client'), { code: 'ERR_TLSHUB_CONTEXT_UNKNOWN' });
  stop();
  directory.configure('');
  contexts.reload();
  assert.equal(told.length, 1);
});

test('a file whose contents are new under the same name counts, one that was only touched does not', (t) => {
  const { directory, contexts } = setUp(t, clientSection('api'));
  const version = versionOf(contexts, 'api');
  for (const name of ['tlshub.toml', 'client.pem', 'client.key'])
    utimesSync(join(directory.path, name), new Date(), new Date());
  assert.deepEqual(contexts.reload().changed, []);
  assert.equal(versionOf(contexts, 'api'), version);
  directory.write({ 'client.pem': pki.renewed.chain, 'client.key': pki.renewed.key });
  assert.deepEqual(contexts.reload().changed, ['api']);
  assert.notEqual(versionOf(contexts, 'api'), version);
});

test('other users are a change, but no reason for other sessions', (t) => {
  const { directory, contexts } = setUp(t, clientSection('api'));
  const version = versionOf(contexts, 'api');
  directory.configure(clientSection('api', `uids = [${UID}, ${UID + 1}]`));
  assert.deepEqual(contexts.reload().changed, ['api']);
  assert.equal(versionOf(contexts, 'api'), version);
  assert.equal(contexts.get('api', UID + 1, 'client').version, version);
});

test('a broken file changes nothing: the reason is thrown and logged, and nobody is told of a change', (t) => {
  const { directory, contexts, lines } = setUp(t, clientSection('api'), clientSection('other'));
  const before = [contexts.get('api', UID, 'client'), contexts.get('other', UID, 'client')];
  contexts.onChange(() => assert.fail('there was no change'));
  const breaks: [() => void, RegExp][] = [
    [() => directory.configure(clientSection('new'), clientSection('api', 'nonsense = 1')), /nonsense/],
    [
      () => directory.write({ 'client.pem': pki.renewed.chain }),
      /context\.api: the key in client\.key is not/,
    ],
    [() => rmSync(join(directory.path, 'ca.pem')), /ca\.pem: there is no such file/],
    [() => renameSync(directory.file, `${directory.file}.away`), /tlshub\.toml: there is no such file/],
  ];
  for (const [breakIt, message] of breaks) {
    directory.write({ 'client.pem': pki.client.chain, 'client.key': pki.client.key, 'ca.pem': pki.ca.cert });
    directory.configure(clientSection('api'), clientSection('other'));
    breakIt();
    assert.throws(() => contexts.reload(), { code: 'ERR_TLSHUB_CONFIG', message });
    const last = JSON.parse(lines.at(-1) ?? '');
    assert.equal(last.level, 'error');
    assert.match(last.reason, message);
    const after = [contexts.get('api', UID, 'client'), contexts.get('other', UID, 'client')];
    assert.ok(after.every((context, index) => context === before[index]));
    assert.equal(contexts.counts().client, 2);
  }
});
