// What the calls between the daemon processes (shards) of one directory do; calls.ts puts them into its table.
import { TlshubError } from '../../errors.ts';
import type { LinkCallOf } from '../../protocol/messages.ts';
import { VERSION } from '../../version.ts';
import type { CallServices } from '../calls.ts';
import type { LinkPeer } from '../link-peer.ts';

/** Handlers of the calls of shard-messages.ts. */
export const SHARD_CALL_HANDLERS = {
  supervise({ place, log, status }: CallServices, link: LinkPeer, call: LinkCallOf<'supervise'>) {
    const isFit = place.shard > 0 && place.count === call.shards && call.version === VERSION;
    if (!isFit) {
      const what = `process ${place.shard} of ${place.count}, of version ${VERSION}`;
      throw new TlshubError(
        'ERR_TLSHUB_UNSUPPORTED',
        `this is ${what}, and cannot be looked after by another daemon`,
      );
    }
    if (status().draining) throw new TlshubError('ERR_TLSHUB_DRAINING');
    link.supervises = true;
    log.debug({ pid: link.identity.pid }, 'the first shard looks after this one');
    return {};
  },

  claimName({ names, claims }: CallServices, link: LinkPeer, call: LinkCallOf<'claimName'>) {
    if (!claims.isHeldBy(link, call.name)) names.refuseTaken(link.identity.uid, call.name);
    claims.hold(link, call.name, call.shard);
    return {};
  },

  disclaimName({ claims }: CallServices, link: LinkPeer, call: LinkCallOf<'disclaimName'>) {
    claims.letGo(link, call.name);
    return {};
  },
};
