// Who is told what the daemon says on a link: holders of lanes, servers and endpoints of this process. Types only; they are
// registered with the link (daemon-link.ts).
import type { WireEvent } from '../protocol/messages.ts';
import type { OfferedOnTrunk } from '../protocol/trunk-offers.ts';
import type { TrunkPipe } from './server/trunk-pipe.ts';

/** How a lane ended, as the daemon told it; `error` is what node:tls would have given the application. */
export interface LaneEnd {
  rc: 0 | -1;
  error?: Error;
}

/** The holder of a lane, told what the daemon says about it. */
export interface LaneHolder {
  /** The daemon's side of the lane ends; the lane's own end follows, or has come. After rc 0 an rc −1 may come. */
  linkOnLaneEnd(end: LaneEnd): void;
  /** The peer sent a session ticket; the buffer is an opaque name of it. */
  linkOnTicket(ticket: Buffer): void;
  /** The daemon is shutting down. */
  linkOnDrain(): void;
}

/** An event about a server of this process. */
export type ListenerEvent = Extract<WireEvent, { listener: number }>;

/** An event about an endpoint of this process. */
export type EndpointEvent = Extract<WireEvent, { endpoint: number }>;

/** A server of this process, told what the daemon says about it. */
export interface ListenerHolder {
  /** It takes what it is offered. */
  readonly takesSessions: boolean;
  /** A session came on the trunk. */
  linkOnSession(opening: OfferedOnTrunk, pipe: TrunkPipe): void;
  linkOnListenerEvent(event: ListenerEvent): void;
  /** The daemon goes away, or has gone (`error`): the server needs another link. */
  linkOnDrain(): void;
  linkOnLost(error: Error): void;
}

/** An endpoint of this process, told what the daemon says about it. */
export interface EndpointHolder {
  linkOnEndpointEvent(event: EndpointEvent): void;
  /** The daemon goes away, or has gone (`error`): the endpoint needs another link. */
  linkOnDrain(): void;
  linkOnLost(error: Error): void;
}
