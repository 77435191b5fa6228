// What a group of workers is made of and works on: types only. group.ts uses them, groups.ts fills them in.
import type { GroupSettings, ListenAddress, ServerKey } from '../../protocol/server-key.ts';
import type { Handles } from '../handles.ts';
import type { LaneDesk } from '../lane-desk.ts';
import type { Logger } from '../log.ts';
import type { Names } from '../named/names.ts';
import type { Session } from '../session.ts';
import type { SessionTable } from '../session-table.ts';
import type { ServerGroup } from './group.ts';
import type { Judgement } from './server-material.ts';
import type { TicketKeyRing } from './ticket-keys.ts';

/** What a group works on. */
export interface GroupServices {
  table: SessionTable;
  names: Names;
  handles: Handles;
  log: Logger;
  /** Most sessions of one uid. */
  maxSessions: number;
  /** Gives a session that nobody holds to the worker that took it on its trunk. */
  openOnTrunk: LaneDesk['openOnTrunk'];
  /** Called once for each session that is gone. */
  sessionOnClosed(session: Session): void;
}

/** What a group is made of. */
export interface GroupOptions {
  uid: number;
  requested: ListenAddress;
  /** The same as one text; `undefined` where the system chooses a port. */
  address: string | undefined;
  key: ServerKey;
  settings: GroupSettings;
  tickets: TicketKeyRing;
  judgement: Judgement;
  services: GroupServices;
  /** The group has closed its port for good. */
  onEnded(group: ServerGroup): void;
  /** The group that listens there now, when this one has ended. */
  successorOf(group: ServerGroup): ServerGroup | undefined;
}
