// A schema of the wire as the words that PROTOCOL.md uses for it, so that a test can compare the two.
import type * as v from 'valibot';

/** The parts of valibot's schemas and actions that are read here. */
interface Node {
  type: string;
  kind: 'schema' | 'validation';
  pipe?: readonly Node[];
  wrapped?: Node;
  item?: Node;
  items?: readonly Node[];
  entries?: Readonly<Record<string, Node>>;
  options?: readonly unknown[];
  literal?: unknown;
  requirement?: unknown;
  message?: unknown;
}

/** A schema that has a section of its own; the text names it. */
export type Named = ReadonlyMap<v.GenericSchema, string>;

/** One row of a table: the field with its path, and the words for its type. */
export type FieldRow = readonly [field: string, type: string];

/** The rows of a message: a nested object has a row of its own and then one for each field. */
export function rowsOf(schema: v.GenericSchema, named: Named = new Map()): FieldRow[] {
  return rows(schema as unknown as Node, '', named);
}

function rows(object: Node, prefix: string, named: Named): FieldRow[] {
  return Object.entries(object.entries ?? {}).flatMap(([name, field]) => {
    const inner = unwrapped(field);
    const row: FieldRow = [`${prefix}${name}`, textOf(field, named)];
    const hasRows =
      inner.entries !== undefined && inner.type !== 'loose_object' && nameOf(inner, named) === undefined;
    return hasRows ? [row, ...rows(inner, `${prefix}${name}.`, named)] : [row];
  });
}

function nameOf(node: Node, named: Named): string | undefined {
  return named.get(node as unknown as v.GenericSchema);
}

function unwrapped(node: Node): Node {
  return node.wrapped === undefined ? node : unwrapped(node.wrapped);
}

/** The words for one schema. */
function textOf(node: Node, named: Named): string {
  const own = nameOf(node, named);
  if (own !== undefined) return own;
  const [base = node, ...actions] = flattened(node);
  switch (base.type) {
    case 'optional':
      return `optional; ${textOf(base.wrapped as Node, named)}`;
    case 'nullable':
      return `${textOf(base.wrapped as Node, named)} or null`;
    case 'literal':
      return JSON.stringify(base.literal);
    case 'picklist':
      return alternatives((base.options ?? []).map((option) => JSON.stringify(option)));
    case 'union':
      return alternatives((base.options ?? []).map((option) => textOf(option as Node, named)));
    case 'array':
      return listText(base, actions, named);
    case 'tuple':
      return `[${(base.items ?? []).map((item) => textOf(item, named)).join(', ')}]`;
    case 'record':
    case 'loose_object':
      return 'object';
    case 'object':
    case 'strict_object':
      return 'object';
    case 'string':
      return stringText(actions);
    case 'number':
      return numberText(actions);
    case 'unknown':
      return 'any JSON';
    default:
      return base.type;
  }
}

function alternatives(texts: string[]): string {
  return texts.length < 2 ? texts.join() : `${texts.slice(0, -1).join(', ')} or ${texts.at(-1)}`;
}

function limit(actions: readonly Node[], type: string): unknown {
  return actions.find((action) => action.type === type)?.requirement;
}

function listText(base: Node, actions: readonly Node[], named: Named): string {
  const [least, most] = [limit(actions, 'min_length'), limit(actions, 'max_length')];
  const range = least === undefined && most === undefined ? '' : `${least ?? 0}–${most} × `;
  return `list of ${range}${itemText(base.item as Node, named)}`;
}

function itemText(item: Node, named: Named): string {
  if (item.type !== 'strict_object' || nameOf(item, named) !== undefined) return textOf(item, named);
  const fields = Object.entries(item.entries ?? {}).map(
    ([name, field]) => `"${name}": ${textOf(field, named)}`,
  );
  return `{ ${fields.join(', ')} }`;
}

/** A schema that narrows another has its pipe within its own. */
function flattened(node: Node): readonly Node[] {
  if (node.pipe === undefined) return [node];
  const [first = node, ...rest] = node.pipe;
  return [...(first === node ? [first] : flattened(first)), ...rest];
}

/** Checks say in their message what the text is not. */
function stringText(actions: readonly Node[]): string {
  const what = actions
    .map(({ message }) => (typeof message === 'string' ? /^is not (.*)$/.exec(message)?.[1] : undefined))
    .find((text) => text !== undefined);
  const start = limit(actions, 'starts_with');
  const most = limit(actions, 'max_length');
  const words = [what ?? 'string'];
  if (start !== undefined) words.push(`begins with ${String(start)}`);
  if (most !== undefined) words.push(`at most ${String(most)} characters`);
  return words.join(', ');
}

function numberText(actions: readonly Node[]): string {
  const types = actions.map(({ type }) => type);
  const [least, most] = [limit(actions, 'min_value'), limit(actions, 'max_value')];
  const kind = types.includes('integer') || types.includes('safe_integer') ? 'integer' : 'number';
  if (least === undefined && most === undefined) return kind;
  return most === undefined ? `${kind} ≥ ${String(least)}` : `${kind} ${String(least)}–${String(most)}`;
}
