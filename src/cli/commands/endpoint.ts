// `tlshub endpoint`: a plain door, held by the daemon, onto shared sessions, for programs that know nothing of tlshub. It
// stays in the foreground; the bytes do not come through this process.
import { resolve } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import {
  ENDPOINT_KINDS,
  type EndpointKind,
  type EndpointPlace,
  endpointPlaceText,
  flawOfPlace,
  parseEndpointPlace,
} from '../../protocol/endpoint-place.ts';
import { examples } from '../client.ts';
import { type Address, addressText, parseAddress } from '../connect/address.ts';
import { addTlsOptions, checkTlsFlags, type TlsFlags, tlsOptions } from '../connect/tls-flags.ts';
import { addDirectoryOption, directoryOf } from '../daemon-options.ts';
import { type EndpointAddress, RemoteEndpoint } from '../endpoint/remote-endpoint.ts';
import { EXIT_CODES, exitCodeOf, UsageError } from '../exit-codes.ts';
import { type OutputOptions, printError, printRemark, printResult } from '../output.ts';

interface EndpointFlags extends OutputOptions, TlsFlags {
  readonly listen: EndpointPlace;
  readonly to: Address;
  readonly kind: EndpointKind;
  readonly keepHost?: boolean;
  readonly unsafeListen?: boolean;
  readonly directory?: string;
}

/** Milliseconds that clients may take to finish after a signal. */
const CLOSE_DEADLINE_MS = 5_000;
const SIGNALS = ['SIGHUP', 'SIGINT', 'SIGTERM'] as const;
/** Exit code of a process that is ended at once by a second signal. */
const INTERRUPTED = 130;

/** The verb `endpoint`. */
export function endpointCommand(): Command {
  const command = new Command('endpoint')
    .description('open a plain TCP or Unix-socket door onto shared sessions, for any program')
    .requiredOption('--listen <PLACE>', 'where: HOST:PORT (0: any port), PATH or unix:PATH', parsePlace)
    .requiredOption('--to <HOST:PORT>', 'where its sessions go', parseAddress)
    .addOption(
      new Option('--kind <KIND>', 'raw: a session for each connection; http: requests over pooled sessions')
        .choices(ENDPOINT_KINDS)
        .default('raw'),
    );
  addTlsOptions(command);
  command
    .option('--keep-host', "http: leave the client's Host header as it is (default: that of the target)")
    .option('--unsafe-listen', 'let in everyone who reaches the TCP address, on any address')
    .option('--json', 'print one JSON value');
  addDirectoryOption(command);
  command.addHelpText(
    'after',
    `
Prints the address, and stays until Ctrl-C: then no new clients come in, those that are there have ${CLOSE_DEADLINE_MS / 1_000} seconds to
finish, and the exit code is 0. The bytes go from the client to the daemon and on, not through this process.
Only processes of the same user are let in, on loopback addresses and Unix sockets (docs/endpoints.md).
${examples({
  'tlshub endpoint --listen 127.0.0.1:6379 --to redis.example:6380': 'then: redis-cli',
  'tlshub endpoint --kind http --listen ./api.sock --to api.example:443':
    'then: curl --unix-socket ./api.sock http://api/',
})}`,
  );
  return command.action(endpointAction);
}

async function endpointAction(flags: EndpointFlags): Promise<void> {
  check(flags);
  const place = placeOf(flags);
  const { resolveRequest } = await import('../../wrapper/resolve-request.ts');
  const alpn = flags.kind === 'http' ? ['http/1.1'] : flags.alpn;
  const request = resolveRequest(
    { ...tlsOptions(flags.to, flags), ALPNProtocols: alpn },
    flags.context ?? null,
  );
  if (!request.shared) throw new UsageError(`these options cannot be shared: ${request.reason}`);
  const { keepHost = false, unsafeListen = false, kind } = flags;
  const endpoint = new RemoteEndpoint(
    directoryOf(flags),
    { place, kind, keepHost, unsafeListen, request },
    {
      endpointOnReopen: (address) =>
        printRemark(`another daemon has it now: ${textOf(address)} is open again`, flags),
      endpointOnError: (error) => {
        printError(error, flags);
        process.exit(exitCodeOf(error));
      },
    },
  );
  const address = await endpoint.open();
  closeOnSignals(endpoint);
  const shown = { address: textOf(address), kind, to: addressText(flags.to), pid: process.pid };
  printResult(shown, shown.address, flags);
}

function check(flags: EndpointFlags): void {
  checkTlsFlags(flags);
  if (flags.kind === 'http' && flags.alpn !== undefined)
    throw new UsageError('--kind http speaks HTTP/1.1; --alpn is for --kind raw');
  if (flags.kind === 'raw' && flags.keepHost) throw new UsageError('--keep-host is for --kind http');
}

/** Where to listen; throws UsageError for a place that is not safe, or not possible. */
function placeOf({ listen, unsafeListen = false }: EndpointFlags): EndpointPlace {
  const place = listen.path === null ? listen : { ...listen, path: resolve(listen.path) };
  const flaw = flawOfPlace(place, unsafeListen);
  if (flaw !== undefined) throw new UsageError(`--listen: ${flaw} (--unsafe-listen)`);
  return place;
}

function closeOnSignals(endpoint: RemoteEndpoint): void {
  let signals = 0;
  const processOnSignal = async () => {
    signals += 1;
    if (signals > 1) process.exit(INTERRUPTED);
    await endpoint.close(CLOSE_DEADLINE_MS);
    process.exit(EXIT_CODES.ok);
  };
  for (const signal of SIGNALS) process.on(signal, () => void processOnSignal());
}

function textOf(address: EndpointAddress): string {
  if (typeof address === 'string') return address;
  return endpointPlaceText({ host: address.address, port: address.port, path: null });
}

function parsePlace(text: string): EndpointPlace {
  const place = parseEndpointPlace(text);
  if (typeof place === 'string')
    throw new InvalidArgumentError(`${place.replace(/^./, (first) => first.toUpperCase())}.`);
  return place;
}
