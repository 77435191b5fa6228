// The calls of a link about servers (PROTOCOL.md): part of the table in calls.ts.
import { TlshubError } from '../../errors.ts';
import type { LinkCallOf, linkCalls } from '../../protocol/messages.ts';
import type { Handles } from '../handles.ts';
import type { LinkPeer } from '../link-peer.ts';
import { FramedHolder } from '../named/framed-holder.ts';
import type { Groups } from './groups.ts';

/** Calls about servers. */
type ServerCallName = Extract<
  keyof typeof linkCalls,
  'listen' | 'unlisten' | 'setAdopts' | 'setContext' | 'addContext' | 'setTicketKeys' | 'decline' | 'handOff'
>;

/** What the handlers work on. */
export interface ServerCallServices {
  groups: Groups;
  handles: Handles;
}

type Handler<Name extends ServerCallName> = (
  services: ServerCallServices,
  link: LinkPeer,
  call: LinkCallOf<Name>,
) => object | Promise<object>;

/** The handlers by call. */
export const SERVER_CALL_HANDLERS: { readonly [Name in ServerCallName]: Handler<Name> } = {
  listen({ groups }, link, call) {
    return groups.listen(link, call);
  },

  unlisten({ groups }, link, { listener, linger }) {
    groups.unlisten(link, listener, linger);
    return {};
  },

  setAdopts({ groups }, link, { listener, adopts }) {
    const { group, worker } = groups.of(link, listener);
    group.setAdopts(worker, adopts);
    return {};
  },

  setContext({ groups }, link, { listener, context }) {
    groups.setContext(groups.of(link, listener).group, context);
    return {};
  },

  addContext({ groups }, link, { listener, servername, context }) {
    groups.addContext(groups.of(link, listener).group, servername, context);
    return {};
  },

  setTicketKeys({ groups }, link, { listener, keys }) {
    groups.setTicketKeys(groups.of(link, listener).group, Buffer.from(keys, 'base64'));
    return {};
  },

  decline({ groups, handles }, link, { handle }) {
    const session = handles.peek(handle);
    if (session !== undefined) for (const group of groups.all()) group.decline(link, session);
    return {};
  },

  async handOff(_services, link, { lane, sent, received }) {
    const lease = link.leaseOf(lane);
    if (lease === undefined || lease.over) throw new TlshubError('ERR_TLSHUB_NOT_LEASED');
    if (!(lease instanceof FramedHolder) || lease.session.home === undefined) {
      const why = 'only a session of a server that outlives its process is handed off';
      throw new TlshubError('ERR_TLSHUB_NOT_DETACHABLE', why);
    }
    await lease.release(sent, received);
    return {};
  },
};
