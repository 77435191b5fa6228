// How much the suite does: a whole run, and a quick one that says roughly the same.

/** How much is done of each row. */
export interface Plan {
  readonly rounds: number;
  /** Of rows that start everything anew in each round. */
  readonly memoryRounds: number;
  /** Seconds that requests are made of each middle in a round; whole ones, as wrk has them. */
  readonly requestSeconds: number;
  /** Times that a figure of requests and bytes is taken of tlshub before the first that counts. */
  readonly warmUps: number;
  /** Milliseconds that latency is measured of each middle in a round. */
  readonly latencyMs: number;
  /** Connections of latency rows. */
  readonly latencyConnections: readonly number[];
  /** Bytes that are sent each way through each middle in a round. */
  readonly bulkBytes: number;
  /** New connections of each contender in a round, and before the first. */
  readonly connections: number;
  readonly warmUpConnections: number;
  /** Leases and handshakes of each kind in a round, and before the first. */
  readonly leases: number;
  readonly warmUpLeases: number;
  /** Idle sessions whose memory is measured, in ascending order; the first is the base of the others. */
  readonly idleSessions: readonly number[];
  /** Sessions that daemons hold while leases are timed. */
  readonly heldSessions: readonly number[];
}

/** A whole run: a quarter of an hour. */
export const FULL: Plan = {
  rounds: 5,
  memoryRounds: 3,
  requestSeconds: 2,
  warmUps: 4,
  latencyMs: 1_000,
  latencyConnections: [1, 16, 256],
  bulkBytes: 256 * 1024 * 1024,
  connections: 300,
  warmUpConnections: 4_000,
  leases: 100,
  warmUpLeases: 1_000,
  idleSessions: [10, 1_000, 10_000],
  heldSessions: [10, 1_000, 10_000, 50_000],
};

/** A run of three minutes; its processes are less warm and its ranges wider. */
export const QUICK: Plan = {
  ...FULL,
  rounds: 3,
  requestSeconds: 1,
  memoryRounds: 1,
  warmUps: 2,
  latencyMs: 300,
  bulkBytes: 64 * 1024 * 1024,
  connections: 100,
  warmUpConnections: 800,
  leases: 40,
  warmUpLeases: 300,
  idleSessions: [10, 1_000],
  heldSessions: [10, 1_000],
};
