// Where the names of options can be found beside the documentation: in the types, and in what Node's code asks for.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PACKAGE_ROOT } from '#helpers/run-node.js';

/** Names of the properties of an interface in a declaration file of @types/node. */
export function propertiesOf(file: string, name: string): string[] {
  const text = readFileSync(join(PACKAGE_ROOT, 'node_modules/@types/node', file), 'utf8');
  const start = text.search(new RegExp(`^ {4}interface ${name}\\b`, 'm'));
  assert.notEqual(start, -1, `${name} is not in ${file} any more`);
  const body = text.slice(start, text.indexOf('\n    }', start));
  return [...body.matchAll(/^ {8}(\w+)\??[:(]/gm)].map((match) => match[1] ?? '');
}

/** Names that a function asks an options object for, while it runs with it. */
export function namesAsked(use: (options: object) => void): Set<string> {
  const asked = new Set<string>();
  const options = new Proxy<Record<PropertyKey, unknown>>(
    {},
    {
      get(target, name) {
        if (typeof name === 'string') asked.add(name);
        return target[name];
      },
    },
  );
  use(options);
  return asked;
}
