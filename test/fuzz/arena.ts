// Where clients misbehave: a real daemon, an origin, and a calm session of a well-behaved client that must not notice
// anything. A test ends with `undisturbed`, which looks whether all is as it was before.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { type CountingOrigin, countingOrigin, type OriginOptions } from '#helpers/counting-origin.js';
import type { Scope } from '#helpers/scope.js';
import { startTestDaemon, type TestDaemon } from '#helpers/test-daemon.js';
import { waitFor } from '#helpers/wait-for.js';
import { createCa } from '#src/cli/demo/pki.js';
import type { SessionKey } from '#src/protocol/session-key.js';
import { leaseCall, type Message, openLane, putCa, sessionKey, WireClient, WireLink } from './wire-client.ts';

/** How the daemon of an arena is started: impatient, and without a pool to speak of. */
const DAEMON_ARGUMENTS = ['--hello-timeout', '300ms', '--pool-idle', '100ms', '--connect-timeout', '2s'];

/** How an arena is made. */
export interface ArenaOptions {
  /** Further arguments of the daemon. */
  arguments?: readonly string[];
  /** Of the origin that misbehaving clients connect to; the calm session has one of its own. */
  origin?: Partial<OriginOptions>;
}

/** A place to misbehave in. */
export interface Arena {
  readonly daemon: TestDaemon;
  readonly origin: CountingOrigin;
  /** A session key for the origin. */
  readonly key: SessionKey;
  readonly ca: string;
  /** A certificate for localhost and its key, PEM. */
  readonly identity: { readonly cert: string; readonly key: string };
  /** A new connection. */
  open(): Promise<WireClient>;
  /** A new link that has said hello. */
  link(processId?: string): Promise<WireLink>;
  /** A new lane with a session on it. */
  lane(link?: WireLink, number?: number): Promise<{ lane: WireClient; reply: Message }>;
  /** A new framed lane, with the session of that name on it. */
  named(link: WireLink, number: number, name: string): Promise<{ lane: WireClient; reply: Message }>;
  /**
   * Drops the connections of the test and waits until the daemon is as it was before: same descriptors, same links,
   * same sessions. Fails when the calm session has noticed anything.
   */
  undisturbed(): Promise<void>;
}

interface Numbers {
  links: number;
  lanes: number;
  sessions: Record<string, number>;
  descriptors: number | undefined;
}

/** Makes an arena for one test. */
export async function makeArena(t: Scope, options: ArenaOptions = {}): Promise<Arena> {
  const daemon = await startTestDaemon(t, { arguments: [...DAEMON_ARGUMENTS, ...(options.arguments ?? [])] });
  const ca = await createCa({ name: 'Test root' });
  const { cert, key } = await ca.issue({ names: ['localhost', '127.0.0.1'] });
  const origin = await countingOrigin(t, { cert, key, ...options.origin });
  const calmOrigin = await countingOrigin(t, { cert, key });
  const calm = await startCalmSession(t, daemon, calmOrigin.port, ca.cert);
  const before = await numbersOf(daemon);

  const opened: WireClient[] = [];
  const keep = <Client extends WireClient>(client: Client) => {
    opened.push(client);
    return client;
  };
  const arenaKey = sessionKey(origin.port, ca.cert);
  return {
    daemon,
    origin,
    key: arenaKey,
    ca: ca.cert,
    identity: { cert, key },
    open: async () => keep(await WireClient.open(t, daemon.directory)),
    link: async (processId) => {
      const link = await WireLink.open(t, daemon.directory, processId);
      keep(link.client);
      return link;
    },
    lane: async (link, number) => {
      const lane = await openLane(t, daemon.directory, leaseCall(arenaKey, link, number));
      keep(lane.lane);
      return lane;
    },
    named: async (link, number, name) => {
      const named = { name, mode: 'exclusive', commit: 'auto', messages: 'chunk', linger: 100 };
      const request = { ...leaseCall(arenaKey, link, number), named };
      const lane = await openLane(t, daemon.directory, request);
      keep(lane.lane);
      return lane;
    },
    undisturbed: async () => {
      await calm.checkNow();
      for (const client of opened) client.socket.destroy();
      let now: Numbers | undefined;
      await waitFor(
        async () => {
          now = await numbersOf(daemon);
          return JSON.stringify(now) === JSON.stringify(before);
        },
        { what: () => `the daemon as it was, ${JSON.stringify(before)}, instead of ${JSON.stringify(now)}` },
      );
      await calm.checkNow();
      assert.equal(daemon.child.exitCode, null);
    },
  };
}

/** A client that exchanges a line again and again, with nobody the wiser. */
async function startCalmSession(t: Scope, daemon: TestDaemon, port: number, ca: string) {
  const { directory } = daemon;
  const link = await WireLink.open(t, directory);
  await putCa(link, ca);
  const { lane } = await openLane(t, directory, leaseCall(sessionKey(port, ca), link));
  let exchanges = 0;
  let over = false;
  const run = async () => {
    while (!over) {
      const line = `calm ${exchanges}\n`;
      lane.sendRaw(line);
      assert.equal((await lane.bytes(3 + line.length)).toString(), `ok ${line}`);
      exchanges += 1;
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  let failure: unknown;
  const running = run().catch((error) => {
    failure = error;
  });
  t.after(async () => {
    over = true;
    await running;
  });
  return {
    /** Waits for two more exchanges. */
    checkNow: async () => {
      const wanted = exchanges + 2;
      await waitFor(() => failure !== undefined || exchanges >= wanted, {
        what: 'the calm session to go on',
      });
      if (failure !== undefined)
        throw new Error(`the calm session: ${failure}\n${daemon.log().slice(-3_000)}`);
      assert.deepEqual([lane.ended, link.client.ended], [false, false]);
    },
  };
}

async function numbersOf(daemon: TestDaemon): Promise<Numbers> {
  const { links, lanes, sessions } = (await daemon.status()).status as Numbers;
  return { links, lanes, sessions, descriptors: descriptorsOf(daemon.pid) };
}

/** Open descriptors of a process; not to be had where it forbids that (not root) or where there is no /proc. */
export function descriptorsOf(pid: number): number | undefined {
  try {
    return readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    return undefined;
  }
}

/** The code of the error in a reply, closing line or event. */
export function codeIn(message: Message | undefined): string | undefined {
  return (message?.error as { code?: string } | undefined)?.code;
}
