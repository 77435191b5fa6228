// The processes in the middle that the suite compares: each takes plain TCP from the client and speaks TLS to the
// origin. The types that the files of the peers share; middles.ts lists them.
import type { Scope } from '#helpers/scope.js';
import type { MeasuredProcess } from '../cpu.ts';
import { descriptorLimit, SPARE_DESCRIPTORS } from '../limits.ts';

/** The TLS server behind a middle. */
export interface OriginTarget {
  /** Of 127.0.0.1. */
  readonly port: number;
  /** Name in its certificate. */
  readonly servername: string;
  /** File with the certificate of its authority (PEM). */
  readonly caPath: string;
}

/** `raw`: bytes, one TLS connection for each of the client's; `http`: requests, over TLS connections that it keeps. */
export type Carries = 'raw' | 'http';

/** A middle that accepts. */
export interface Middle {
  /** As the table shows it. */
  readonly name: string;
  /** Whether it is what the others are compared with. */
  readonly isPeer: boolean;
  readonly port: number;
  readonly processes: readonly MeasuredProcess[];
}

/** A middle that can be started. */
export interface MiddleKind extends Pick<Middle, 'name' | 'isPeer'> {
  readonly carries: Carries;
  /** Starts one, which ends with the scope; throws with the reason when it cannot be had here. */
  start(scope: Scope, target: OriginTarget): Promise<Omit<Middle, 'name' | 'isPeer'>>;
}

/** Connections of clients that a middle can be set up for here: each takes one more, to the origin. */
export function middleConnections(): number {
  return Math.min(MOST_CONNECTIONS, Math.floor((descriptorLimit() - SPARE_DESCRIPTORS) / 2));
}

const MOST_CONNECTIONS = 20_000;
