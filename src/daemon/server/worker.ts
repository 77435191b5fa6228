// One worker of a group: a server of a linked process that takes sessions. Which sessions it gets, group.ts decides.
import type { SocketSettings } from '../socket-settings.ts';

/** What a worker needs of its process's link. */
export interface WorkerLink {
  readonly closed: boolean;
  readonly identity: { readonly uid: number; readonly pid: number | null };
  send(event: object): void;
}

/** A server of a linked process. */
export interface Worker<Link extends WorkerLink = WorkerLink> {
  readonly link: Link;
  /** Number of the server on its link. */
  readonly listener: number;
  /** It takes over sessions that another worker had. */
  adopts: boolean;
  /** Whether its sessions outlive it; `null`: when it adopts. */
  readonly survive: boolean | null;
  readonly socket: SocketSettings;
  /** Sessions that it has, and that it was offered. */
  load: number;
  /** Grows with each time that it is its turn. */
  lastTurn: number;
  /** When it showed last that it is alive. */
  signMs: number;
  /** It did not take an offer in time; it gets nothing until it does. */
  stalled: boolean;
  /** It declined what it was offered: its server has closed, and gets nothing more. */
  hasClosed: boolean;
}
