// The flags that say how a session is opened, and with what certificates: what they mean, which go together, and the
// options of tls.connect that they make. Of `tlshub connect` and `tlshub endpoint`.
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import type { Command } from 'commander';
import { messageOf } from '../../errors.ts';
import { UsageError } from '../exit-codes.ts';
import type { Address } from './address.ts';

/** The flags as commander gives them. */
export interface TlsFlags {
  readonly ca?: string;
  readonly servername?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly context?: string;
  readonly alpn?: string[];
  readonly insecure?: boolean;
}

/** Names of all of them. */
export const TLS_FLAGS = ['ca', 'servername', 'cert', 'key', 'context', 'alpn', 'insecure'] as const;

/** Flags whose place a context of the daemon takes. */
const CONTEXT_FLAGS = ['ca', 'cert', 'key'] as const;

/** Adds the flags to a verb. */
export function addTlsOptions(command: Command): Command {
  return command
    .option('--ca <FILE>', 'trust these CA certificates (PEM) instead of the default ones')
    .option('--servername <NAME>', 'name to ask for (SNI) and to find in the certificate (default: HOST)')
    .option('--cert <FILE>', 'own certificate (PEM), with --key')
    .option('--key <FILE>', 'its private key (PEM)')
    .option('--context <NAME>', "certificate, key and trust of a context of the daemon's configuration")
    .option('--alpn <LIST>', 'protocols to offer, in order, separated by commas', parseList)
    .option('--insecure', "accept any certificate of the peer's");
}

/** Throws UsageError for flags that do not go together. */
export function checkTlsFlags(flags: TlsFlags): void {
  if ((flags.cert === undefined) !== (flags.key === undefined))
    throw new UsageError('--cert and --key go together');
  const inContext = flags.context !== undefined && CONTEXT_FLAGS.find((name) => flags[name]);
  if (inContext) throw new UsageError(`--context and --${inContext} exclude each other`);
}

/** The options of tls.connect for an address; throws UsageError for a file that cannot be read. */
export function tlsOptions({ host, port }: Address, flags: TlsFlags): ConnectionOptions {
  return {
    host,
    port,
    servername: flags.servername ?? (isIP(host) === 0 ? host : ''),
    ca: contents('--ca', flags.ca),
    cert: contents('--cert', flags.cert),
    key: contents('--key', flags.key),
    ALPNProtocols: flags.alpn,
    rejectUnauthorized: flags.insecure !== true,
  };
}

function contents(flag: string, path: string | undefined): Buffer | undefined {
  if (path === undefined) return undefined;
  try {
    return readFileSync(path);
  } catch (error) {
    throw new UsageError(`${flag}: ${messageOf(error)}`);
  }
}

function parseList(text: string): string[] {
  return text.split(',').filter((item) => item !== '');
}
