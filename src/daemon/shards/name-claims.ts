// Names that are given to sessions later (`setName`) may belong to another shard than the session does. The home of a name
// keeps who has it, for as long as the link of that shard lives, so that no name means two sessions and who asks at its
// home is sent to the session. Called by names.ts and calls.ts.
import { codeOf, messageOf, TlshubError } from '../../errors.ts';
import type { LinkPeer } from '../link-peer.ts';
import type { Logger } from '../log.ts';
import type { Session } from '../session.ts';
import { ShardLink } from './shard-link.ts';
import { otherShard, type ShardPlace } from './shard-place.ts';

/** Milliseconds between two attempts to reach a home that is being started again, and how many there are. */
const RETRY_PAUSE_MS = 100;
const ATTEMPTS = 50;

interface NameClaimsOptions {
  directory: string;
  place: ShardPlace;
  log: Logger;
  /** The home was started again, and meanwhile somebody else has taken the name there. */
  sessionOnNameLost(session: Session): void;
}

/** Names across shards; one per daemon process. */
export class NameClaims {
  readonly #options: NameClaimsOptions;
  /** At home: who has a name, by uid and name. */
  readonly #held = new Map<string, { link: LinkPeer; shard: number }>();
  /** Names with another home that sessions of this shard have. */
  readonly #claims = new Map<Session, string>();
  /** Names that are being claimed. */
  readonly #asking: string[] = [];
  readonly #links = new Map<number, Promise<ShardLink>>();

  constructor(options: NameClaimsOptions) {
    this.#options = options;
  }

  /** True when the name's home is another shard. */
  isForeign(name: string): boolean {
    const { place } = this.#options;
    return place.homeOf(name) !== place.shard;
  }

  /** Throws ERR_TLSHUB_OTHER_SHARD when a name, which no session of this shard has, is another shard's. */
  refuseElsewhere(uid: number, name: string): void {
    const { place } = this.#options;
    const home = place.homeOf(name);
    if (home !== place.shard) throw otherShard(home);
    const holder = this.#held.get(keyOf(uid, name));
    if (holder !== undefined) throw otherShard(holder.shard);
  }

  /** True when a session of another shard has the name. */
  isHeld(uid: number, name: string): boolean {
    return this.#held.has(keyOf(uid, name));
  }

  /** True when it is this link that has claimed the name. */
  isHeldBy(link: LinkPeer, name: string): boolean {
    return this.#held.get(keyOf(link.identity.uid, name))?.link === link;
  }

  /** At home: another shard has given the name to a session. The caller has refused a name that is taken. */
  hold(link: LinkPeer, name: string, shard: number): void {
    this.#held.set(keyOf(link.identity.uid, name), { link, shard });
  }

  /** At home: the session has the name no longer. */
  letGo(link: LinkPeer, name: string): void {
    const key = keyOf(link.identity.uid, name);
    if (this.#held.get(key)?.link === link) this.#held.delete(key);
  }

  /** At home: a link is gone, and with it the sessions of that shard. */
  forget(link: LinkPeer): void {
    for (const [key, holder] of this.#held) if (holder.link === link) this.#held.delete(key);
  }

  /**
   * Takes a name with another home for a session, in place of the one it may have claimed before. Rejects with
   * ERR_TLSHUB_NAME_IN_USE, with ERR_TLSHUB_DAEMON_LOST when the home cannot be asked, with ERR_TLSHUB_NOT_LEASED when
   * the session has ended meanwhile, or with what `give` throws; the session keeps what it had then.
   * @param give gives the session its name, once nobody else can get it
   */
  async claim(session: Session, name: string, give: () => void): Promise<void> {
    const before = this.#claims.get(session);
    if (before === name) {
      give();
      return;
    }
    await this.#ask(name);
    try {
      if (session.state === 'closed') throw new TlshubError('ERR_TLSHUB_NOT_LEASED');
      give();
    } catch (error) {
      this.#disclaim(name);
      throw error;
    }
    this.#claims.set(session, name);
    if (before !== undefined) this.#disclaim(before);
  }

  /** The session has no claimed name any more. */
  release(session: Session): void {
    const name = this.#claims.get(session);
    if (name === undefined) return;
    this.#claims.delete(session);
    this.#disclaim(name);
  }

  /** Ends the links to other shards. */
  close(): void {
    this.#claims.clear();
    for (const link of this.#links.values())
      link.then(
        (open) => open.close(),
        () => {},
      );
  }

  #disclaim(name: string): void {
    // Several may want the same name before one of them has it.
    if ([...this.#claims.values(), ...this.#asking].includes(name)) return;
    const home = this.#options.place.homeOf(name);
    const link = this.#links.get(home);
    link
      ?.then(async (open) => {
        await open.call('disclaimName', { name });
        // An idle link would keep the other shard from ending.
        if (this.#needs(home) || this.#links.get(home) !== link) return;
        this.#links.delete(home);
        open.close();
      })
      .catch(() => {});
  }

  #needs(home: number): boolean {
    return [...this.#claims.values(), ...this.#asking].some(
      (name) => this.#options.place.homeOf(name) === home,
    );
  }

  async #ask(name: string): Promise<void> {
    const { place } = this.#options;
    this.#asking.push(name);
    try {
      for (let attempt = 1; ; attempt++) {
        try {
          const link = await this.#linkTo(place.homeOf(name));
          await link.call('claimName', { name, shard: place.shard });
          return;
        } catch (error) {
          if (codeOf(error) === 'ERR_TLSHUB_NAME_IN_USE') throw error;
          if (attempt === ATTEMPTS)
            throw new TlshubError('ERR_TLSHUB_DAEMON_LOST', messageOf(error), { cause: error });
        }
        await new Promise((resolve) => setTimeout(resolve, RETRY_PAUSE_MS));
      }
    } finally {
      this.#asking.splice(this.#asking.indexOf(name), 1);
    }
  }

  #linkTo(home: number): Promise<ShardLink> {
    const known = this.#links.get(home);
    if (known !== undefined) return known;
    let isOpen = false;
    const link = ShardLink.open(this.#options.directory, home, {
      shardOnLost: () => {
        if (this.#links.get(home) === link) this.#links.delete(home);
        // An attempt that failed is its caller's to repeat.
        if (isOpen) void this.#claimAgain(home);
      },
    });
    this.#links.set(home, link);
    link.then(
      () => {
        isOpen = true;
      },
      () => {},
    );
    return link;
  }

  /** The home has died, and its successor knows of no name. */
  async #claimAgain(home: number): Promise<void> {
    const { place, log, sessionOnNameLost } = this.#options;
    for (const [session, name] of [...this.#claims]) {
      if (place.homeOf(name) !== home) continue;
      try {
        await this.#ask(name);
      } catch (error) {
        if (this.#claims.get(session) !== name) continue;
        this.#claims.delete(session);
        log.warn({ session: session.id, reason: messageOf(error) }, 'a session has lost its name');
        sessionOnNameLost(session);
      }
    }
  }
}

function keyOf(uid: number, name: string): string {
  return `${uid} ${name}`;
}
