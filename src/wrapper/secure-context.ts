// tls.createSecureContext with a memory: what a SecureContext was made of, so that it can cross to the daemon by its
// contents. One that is not from here, or was changed natively since (`context.context.addCACert(…)`), cannot.
import type { SecureContext, SecureContextOptions } from 'node:tls';
import {
  type ContextDescription,
  describeContext,
  isUnshareable,
  type Options,
  refuseOptions,
  type Unshareable,
} from './context-key.ts';
import { nodeFunctions } from './process-settings.ts';

interface Made {
  /** OpenSSL's part, as Node made it. */
  readonly native: object;
  readonly description: ContextDescription | Unshareable;
}

const madeHere = new WeakMap<object, Made>();

/** Native parts on which something else than a question was called. */
const changed = new WeakSet<object>();

/** Native methods that change nothing; every other, also of a future Node, counts as a change. */
const QUESTIONS: readonly PropertyKey[] = [
  ...['constructor', 'getMaxProto', 'getMinProto', 'getTicketKeys', 'getCertificate', 'getIssuer'],
];

/**
 * `tls.createSecureContext`: the same context, errors and warnings; the contents of the options are remembered.
 * @param options as node:tls takes them
 */
export function createSecureContext(options?: SecureContextOptions): SecureContext {
  const secureContext = nodeFunctions.createSecureContext(options);
  // node:tls makes such a context for one connection of its own, and nobody else gets it.
  if ((options as { singleUse?: unknown } | undefined)?.singleUse) return secureContext;
  const native = nativePart(secureContext);
  if (native !== undefined && watch(native)) {
    madeHere.set(secureContext, { native, description: describe(options ?? {}) });
  }
  return secureContext;
}

/**
 * What a `secureContext` option was made of, or why it cannot cross.
 * @param secureContext value of the option
 */
export function describeSecureContext(secureContext: unknown): ContextDescription | Unshareable {
  const made = isObject(secureContext) ? madeHere.get(secureContext) : undefined;
  if (made === undefined) {
    return { reason: 'option "secureContext" was not made by createSecureContext of tlshub' };
  }
  if (changed.has(made.native) || nativePart(secureContext as SecureContext) !== made.native) {
    return { reason: 'option "secureContext" was changed after it was made' };
  }
  return made.description;
}

function describe(options: object): ContextDescription | Unshareable {
  try {
    // node:tls reads inherited options too; such a thing is too strange to be copied.
    const prototype: unknown = Object.getPrototypeOf(options);
    if (prototype !== Object.prototype && prototype !== null) {
      return { reason: 'option "secureContext" was made of options that inherit others' };
    }
    const copy: Options = { ...options };
    const refused = refuseOptions(copy, 'context');
    const description = refused === undefined ? describeContext(copy) : { reason: refused };
    return isUnshareable(description)
      ? { reason: `option "secureContext": ${description.reason}` }
      : description;
  } catch (error) {
    return { reason: `option "secureContext": ${(error as Error).message}` };
  }
}

function nativePart(secureContext: SecureContext): object | undefined {
  const { context } = secureContext as { context?: unknown };
  return isObject(context) ? context : undefined;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

/** Prototypes with recording methods, by the native prototype that they inherit from. */
const watchers = new WeakMap<object, object>();

/** Notes later calls of changing methods; false when that cannot be done. */
function watch(native: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(native);
  if (!isObject(prototype)) return false;
  let watcher = watchers.get(prototype);
  if (watcher === undefined) {
    watcher = makeWatcher(prototype);
    watchers.set(prototype, watcher);
  }
  return Reflect.setPrototypeOf(native, watcher);
}

function makeWatcher(prototype: object): object {
  const watcher = Object.create(prototype) as object;
  for (const name of Reflect.ownKeys(prototype)) {
    const own = Object.getOwnPropertyDescriptor(prototype, name);
    if (own === undefined || QUESTIONS.includes(name)) continue;
    Object.defineProperty(watcher, name, recording(own));
  }
  return watcher;
}

/** A property that notes its object as changed, and then does what the given one does. */
function recording(own: PropertyDescriptor): PropertyDescriptor {
  const { value, get, set } = own;
  const shape = { configurable: true, enumerable: own.enumerable === true };
  if (typeof value === 'function') {
    const method = function (this: object, ...args: unknown[]): unknown {
      changed.add(this);
      return Reflect.apply(value, this, args);
    };
    return { ...shape, writable: true, value: method };
  }
  return {
    ...shape,
    get(this: object): unknown {
      changed.add(this);
      return get === undefined ? value : Reflect.apply(get, this, []);
    },
    ...(set !== undefined && {
      set(this: object, next: unknown): void {
        changed.add(this);
        Reflect.apply(set, this, [next]);
      },
    }),
  };
}
