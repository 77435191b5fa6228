// A host name with two addresses on every machine: while it is installed, the resolver of this process answers that
// one name by itself. A daemon gets the same by preloading preload-two-addresses.ts.
import dns from 'node:dns';
import { syncBuiltinESMExports } from 'node:module';

/** The name; its addresses are 127.0.0.1 and 127.0.0.2. */
export const TWO_ADDRESSES = 'two-addresses.invalid';

/** The argument of node that installs it from the start. */
export const PRELOAD_TWO_ADDRESSES = `--import=${new URL('./preload-two-addresses.js', import.meta.url)}`;

type LookupArguments = [
  hostname: string,
  options: dns.LookupOptions,
  callback: (...results: unknown[]) => void,
];

const original = dns.lookup;
const lookup = (...args: LookupArguments): void => {
  const [hostname, options, callback] = args;
  if (hostname !== TWO_ADDRESSES) {
    Reflect.apply(original, dns, args);
    return;
  }
  const addresses = ['127.0.0.1', '127.0.0.2'].map((address) => ({ address, family: 4 }));
  if (options.all === true) setImmediate(() => callback(null, addresses));
  else setImmediate(() => callback(null, addresses[0]?.address, 4));
};

/** Makes the name known in this process; call the answer to undo it. */
export function installTwoAddresses(): () => void {
  replaceLookup(Object.assign(lookup, original) as unknown as typeof dns.lookup);
  return () => replaceLookup(original);
}

function replaceLookup(replacement: typeof dns.lookup): void {
  dns.lookup = replacement;
  syncBuiltinESMExports();
}
