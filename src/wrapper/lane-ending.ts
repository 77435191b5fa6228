// How a lane ended, as the daemon said on the link, and the wait for it: a lane's own end says nothing of the reason.
import { codeOf } from '../errors.ts';
import type { DaemonLink } from './daemon-link.ts';
import type { OpenLane } from './lane-opening.ts';
import type { LaneEnd } from './link-holders.ts';

/** Which of the daemon's words is waited for: any, or the last one (rc −1). */
export type LaneEndKind = 'any' | 'for good';

/** Failures of the lane itself: what they mean for the session, the daemon says on the link. */
const LANE_FAILURES: ReadonlySet<string | undefined> = new Set(['ECONNRESET', 'EPIPE', 'ENOTCONN']);

/** What is known of one lane's end. */
export class LaneEnding {
  #known: LaneEnd | undefined;
  #link: DaemonLink | undefined;
  #check: (() => void) | undefined;

  /** The daemon's last word, if there was one. */
  get known(): LaneEnd | undefined {
    return this.#known;
  }

  /** True for a failure of the lane that the daemon has not explained: what it means is still to be said. */
  leavesOpen(error: Error | null): boolean {
    return LANE_FAILURES.has(codeOf(error)) && error !== this.#known?.error;
  }

  /** The daemon has said how its side of the lane ended, or its link is lost, which changes nothing about its last word. */
  learn(end: LaneEnd): void {
    if (this.#known?.rc !== -1) this.#known = end;
    this.#check?.();
  }

  /**
   * Runs `then` when the daemon has said it, at once if it has. The process is kept alive until then; a link that is
   * lost counts as said.
   * @param link where it will be said; without one nothing is waited for
   */
  await(link: DaemonLink | undefined, then: () => void, kind: LaneEndKind = 'any'): void {
    const said = () => this.#known !== undefined && (kind === 'any' || this.#known.rc === -1);
    if (link === undefined || said()) {
      then();
      return;
    }
    this.stopWaiting();
    this.#link = link;
    link.holdProcess();
    this.#check = () => {
      if (!said()) return;
      this.stopWaiting();
      then();
    };
  }

  /** Nobody waits any more. */
  stopWaiting(): void {
    if (this.#check === undefined) return;
    this.#check = undefined;
    this.#link?.letProcessExit();
  }
}

/** An alert of the peer, or a record that cannot be decrypted: the errors of OpenSSL. */
export function isRecordLayerError(error: Error | undefined): boolean {
  return codeOf(error)?.startsWith('ERR_SSL_') === true;
}

/** Tells the daemon that our side of a lane ends; −1 for good. */
export function endLane({ link, lane, pipe }: OpenLane, rc: 0 | -1, sentBytes: number): void {
  if (pipe === undefined) link.sendLaneEnd(lane, rc, sentBytes);
  else pipe.sendEnd(rc, sentBytes);
}

/** Closes a lane that no socket took. */
export function closeLane(lane: OpenLane): void {
  if (lane.pipe === undefined) lane.handle.close();
  else lane.pipe.close();
}
