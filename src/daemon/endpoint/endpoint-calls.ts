// The calls of a link about endpoints (PROTOCOL.md): part of the table in calls.ts. Whoever may open a link may open an
// endpoint; what the door lets in is door.ts's to say.
import type { LinkCallOf, linkCalls } from '../../protocol/messages.ts';
import type { LinkPeer } from '../link-peer.ts';
import type { Endpoints } from './endpoints.ts';

/** Calls about endpoints. */
type EndpointCallName = Extract<keyof typeof linkCalls, 'endpoint' | 'closeEndpoint'>;

type Handler<Name extends EndpointCallName> = (
  services: { endpoints: Endpoints },
  link: LinkPeer,
  call: LinkCallOf<Name>,
) => Promise<object>;

/** The handlers by call. */
export const ENDPOINT_CALL_HANDLERS: { readonly [Name in EndpointCallName]: Handler<Name> } = {
  endpoint({ endpoints }, link, call) {
    return endpoints.open(link, call);
  },

  async closeEndpoint({ endpoints }, link, { endpoint, deadline }) {
    await endpoints.closeOf(link, endpoint, deadline);
    return {};
  },
};
