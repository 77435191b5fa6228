// HOST:PORT as it is written on the command line, IPv6 literals in brackets. Pure; used by `tlshub connect`.
import { isIP } from 'node:net';
import { InvalidArgumentError } from 'commander';

/** Where a session goes. */
export interface Address {
  /** Name or IP address, without brackets. */
  readonly host: string;
  readonly port: number;
}

const MAX_PORT = 65_535;

/**
 * The host and port of a text such as `example.com:443`, `192.0.2.1:443` or `[2001:db8::1]:443`.
 * Throws commander's InvalidArgumentError.
 */
export function parseAddress(text: string): Address {
  const match = /^(?:\[([^\][]+)\]|([^:\][]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined) {
    throw new InvalidArgumentError(
      isIP(text) === 6 || text.split(':').length > 2
        ? 'An IPv6 address is written in brackets: [2001:db8::1]:443.'
        : 'The address is HOST:PORT, such as example.com:443.',
    );
  }
  if (match?.[1] !== undefined && isIP(host) !== 6) {
    throw new InvalidArgumentError('Only an IPv6 address is written in brackets.');
  }
  const port = Number(match?.[3]);
  if (port < 1 || port > MAX_PORT)
    throw new InvalidArgumentError(`A port is a number from 1 to ${MAX_PORT}.`);
  return { host, port };
}

/** The address as text again. */
export function addressText({ host, port }: Address): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}
