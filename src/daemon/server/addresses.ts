// When two workers mean the same port: what they asked `listen` for, compared with each other and with where a group really
// listens. Called by groups.ts.
import { constants } from 'node:os';
import type { LinkCallOf } from '../../protocol/messages.ts';
import type { ListenAddress } from '../../protocol/server-key.ts';
import type { BoundAddress } from './acceptor.ts';

/** What is looked at of a group. */
interface Listening {
  readonly requested: ListenAddress;
  readonly acceptor: { readonly address: BoundAddress } | undefined;
}

/** What the port itself was made with, and cannot be changed. */
export const ADDRESS_FLAGS = ['ipv6Only', 'reusePort', 'readableAll', 'writableAll'] as const;

/** Workers that share a port by `reusePort` share it as a group: the daemon gives out the connections, not the kernel. */
export function isExclusive({ exclusive, reusePort }: ListenAddress): boolean {
  return exclusive && !reusePort;
}

/** What must be equal for two calls to mean one port; `undefined` where the system chooses a port for each. */
export function textOf({ address, group: { name } }: LinkCallOf<'listen'>): string | undefined {
  if (address.path !== null) return address.path;
  if (address.port === 0) return name === null ? undefined : `name ${name}`;
  return `${hostOf(address)}:${address.port}`;
}

/** Whether an address that is asked for is that of a group. */
export function isSameAddress({ host, port, path }: ListenAddress, group: Listening): boolean {
  const { requested, acceptor } = group;
  if (path !== null) return requested.path === path;
  if (port === 0 || port === null) return false;
  if (requested.port === port && hostOf(requested) === hostOf({ host })) return true;
  const bound = acceptor?.address;
  if (typeof bound !== 'object') return false;
  // A port that the system chose is asked for by its number after that.
  return (
    requested.port === 0 &&
    bound.port === port &&
    [bound.address, hostOf(requested)].includes(hostOf({ host }))
  );
}

/** A group is found by its name when the port is left to the system, or is the one that it has. */
export function isCompatible(
  { host, port, path }: ListenAddress,
  { requested }: Pick<Listening, 'requested'>,
): boolean {
  return path === null && requested.path === null && port === 0 && hostOf(requested) === hostOf({ host });
}

function hostOf({ host }: Pick<ListenAddress, 'host'>): string {
  return host ?? '::';
}

/** The error of net.Server.listen for an address that is taken, with the reason where there is one. */
export function addressInUse({ host, port, path }: ListenAddress, reason: string): Error {
  const where = path ?? `${hostOf({ host })}:${port}`;
  return Object.assign(new Error(`listen EADDRINUSE: address already in use ${where}${reason}`), {
    code: 'EADDRINUSE',
    errno: -constants.errno.EADDRINUSE,
    syscall: 'listen',
    address: path ?? hostOf({ host }),
    ...(path === null && { port }),
  });
}
