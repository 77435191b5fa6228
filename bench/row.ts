// What the suite measures: rows, each with those that it compares, and the figures that come of them. Types only, and
// pure functions on them.
import { median, ratio, type Spread, spread } from './statistics.ts';

/** One of the things that a row compares. */
export interface Contender {
  /** As the table shows it. */
  readonly name: string;
  /** Whether it is what the others are compared with. */
  readonly isPeer: boolean;
  /** Before the first round, until code is compiled; default: one {@link measure}. */
  warmUp?(): Promise<unknown>;
  /** One round's figures, by the keys of the row's metrics. */
  measure(): Promise<Readonly<Record<string, number>>>;
}

/** A figure that a row takes of each contender. */
export interface Metric {
  readonly key: string;
  /** As the table shows it: `CPU of one request`. */
  readonly title: string;
  readonly unit: string;
  readonly better: 'less' | 'more';
  /** Digits behind the point. */
  readonly digits: number;
}

/** A row: metrics that are taken together, of contenders that take turns. */
export interface Row {
  /** Unique, and the same in every run: `requests-raw-small`. */
  readonly key: string;
  readonly metrics: readonly Metric[];
  readonly contenders: readonly Contender[];
  /** Default: those of the run. */
  readonly rounds?: number;
}

/** One figure of one contender over all rounds. */
export interface Figure extends Spread {
  readonly contender: string;
  readonly isPeer: boolean;
  /** In the order of the rounds; all contenders of a row in the same. */
  readonly rounds: readonly number[];
  /**
   * This one over the best peer, round by round; absent where there is no peer, for the best peer itself, and where a
   * figure is not above zero, as a difference may be.
   */
  readonly toBestPeer?: Spread & { readonly peer: string };
}

/** All figures of one metric of one row. */
export interface Comparison extends Omit<Metric, 'key'> {
  /** The row's key and the metric's: `requests-raw-small/cpu`. */
  readonly key: string;
  readonly figures: readonly Figure[];
}

/** What was measured of one contender: by the keys of the metrics, round by round. */
export type Samples = ReadonlyMap<string, readonly number[]>;

/**
 * The figures of a metric.
 * @param samples of the contenders that have any; all lists of a metric are equally long
 */
export function compare(
  row: Pick<Row, 'key' | 'contenders'>,
  metric: Metric,
  samples: ReadonlyMap<Contender, Samples>,
): Comparison {
  const { key, ...described } = metric;
  const measured = row.contenders.flatMap((contender) => {
    const rounds = samples.get(contender)?.get(key);
    return rounds === undefined || rounds.length === 0 ? [] : [{ contender, rounds }];
  });
  const sign = metric.better === 'less' ? 1 : -1;
  const [best] = measured
    .filter(({ contender }) => contender.isPeer)
    .sort((one, other) => sign * (median(one.rounds) - median(other.rounds)));
  const figures = measured.map(({ contender, rounds }): Figure => {
    const isComparable =
      best !== undefined && best.contender !== contender && [...rounds, ...best.rounds].every(isPositive);
    const toBestPeer = !isComparable
      ? undefined
      : { peer: best.contender.name, ...ratio(rounds, best.rounds) };
    const { name, isPeer } = contender;
    return { contender: name, isPeer, ...spread(rounds), rounds, ...(toBestPeer && { toBestPeer }) };
  });
  return { key: `${row.key}/${key}`, ...described, figures };
}

const isPositive = (value: number) => value > 0;

/** Takes a contender's figure a few times: a peer, which is compiled ahead, once. */
export async function warmUpBy(contender: Omit<Contender, 'warmUp'>, times: number): Promise<void> {
  for (let time = 0; time < (contender.isPeer ? 1 : times); time += 1) await contender.measure();
}
