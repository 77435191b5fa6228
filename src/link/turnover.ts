// Maps and sets whose entries come and go all the time: sessions, lanes, connections. V8 keeps the entries of its own ones in
// tables; when one is full of deleted entries the next takes its place, and the old table goes on to refer to what it held
// and to the next one. As soon as one of them has become old, no garbage collection but a full one frees anything that was
// ever in the map since (bench/NOTES.md, "Serving"). These begin anew before long, without a way from the old to the new.

/** Deletions after which a collection begins anew, if it does not hold more. */
const MIN_DELETIONS = 64;

/** A map with much turnover, in order of insertion. What is added while it is iterated over may be missed. */
export class TurnoverMap<Key, Value> {
  #entries = new Map<Key, Value>();
  #deletions = 0;

  get size(): number {
    return this.#entries.size;
  }

  get(key: Key): Value | undefined {
    return this.#entries.get(key);
  }

  has(key: Key): boolean {
    return this.#entries.has(key);
  }

  set(key: Key, value: Value): void {
    this.#entries.set(key, value);
  }

  /** Answers whether it was there. */
  delete(key: Key): boolean {
    if (!this.#entries.delete(key)) return false;
    this.#deletions += 1;
    if (this.#deletions >= Math.max(MIN_DELETIONS, this.#entries.size)) this.#beginAnew();
    return true;
  }

  clear(): void {
    this.#entries = new Map();
    this.#deletions = 0;
  }

  *keys(): IterableIterator<Key> {
    for (const [key] of this) yield key;
  }

  *values(): IterableIterator<Value> {
    for (const [, value] of this) yield value;
  }

  *[Symbol.iterator](): IterableIterator<[Key, Value]> {
    const entries = this.#entries;
    for (const entry of entries) {
      const isThere = this.#entries === entries || this.#entries.has(entry[0]);
      if (isThere) yield entry;
    }
  }

  #beginAnew(): void {
    const before = this.#entries;
    this.clear();
    for (const [key, value] of before) this.#entries.set(key, value);
  }
}

/** A set with much turnover, in order of insertion. What is added while it is iterated over may be missed. */
export class TurnoverSet<Item> {
  readonly #items = new TurnoverMap<Item, true>();

  get size(): number {
    return this.#items.size;
  }

  has(item: Item): boolean {
    return this.#items.has(item);
  }

  add(item: Item): void {
    this.#items.set(item, true);
  }

  /** Answers whether it was there. */
  delete(item: Item): boolean {
    return this.#items.delete(item);
  }

  clear(): void {
    this.#items.clear();
  }

  [Symbol.iterator](): IterableIterator<Item> {
    return this.#items.keys();
  }
}
