// CA lists that clients have sent, by SHA-256. ALWAYS: what `get` answers hashes to its name; complete lists and
// unfinished uploads together stay within the limit. NEVER: one owner's upload is seen by another before it is
// complete and checked. The lists are public certificates, so all clients share them.
import { createHash, type Hash } from 'node:crypto';
import { TlshubError } from '../errors.ts';
import { blobHash } from '../protocol/ca-blob.ts';
import { defaultCa } from '../protocol/default-ca.ts';
import { MAX_BLOB_BYTES, MAX_BLOB_CHUNK_BYTES } from '../protocol/limits.ts';
import type { LinkCallOf } from '../protocol/messages.ts';

/** Bytes that the store holds at most, uploads included. */
const MAX_TOTAL_BYTES = 64 * 1024 * 1024;

/** A list without certificates: its name is known without a `put`, which would have nothing to carry. */
const NOTHING = Buffer.alloc(0);
const NOTHING_SHA256 = blobHash(NOTHING);

/** What a `put` call says; `data` is base64. */
export type BlobChunk = Pick<LinkCallOf<'put'>, 'sha256' | 'offset' | 'data' | 'last'>;

interface Upload {
  readonly sha256: string;
  readonly hash: Hash;
  readonly chunks: Buffer[];
  bytes: number;
}

/** Keeps blobs; one per daemon. */
export class BlobStore {
  readonly #maxTotalBytes: number;
  /** In order of last use. */
  readonly #blobs = new Map<string, Buffer>();
  /** One at a time for each owner. */
  readonly #uploads = new Map<object, Upload>();
  #totalBytes = 0;

  /** @param options `maxTotalBytes` for blobs and uploads together, default 64 MiB */
  constructor(options: { maxTotalBytes?: number } = {}) {
    this.#maxTotalBytes = options.maxTotalBytes ?? MAX_TOTAL_BYTES;
  }

  /**
   * Takes the next chunk of a blob; the first has offset 0 and starts anew. Throws ERR_TLSHUB_INVALID_CALL for a
   * chunk out of order, too long, or that makes the blob differ from its name, and ERR_TLSHUB_LIMIT when the store
   * is full of unfinished uploads; the upload is dropped then.
   * @param owner the link that sends it
   * @param chunk a `put` call
   */
  put(owner: object, chunk: BlobChunk): void {
    try {
      this.#append(owner, chunk);
    } catch (error) {
      this.forget(owner);
      throw error;
    }
  }

  /**
   * The blob, `bundled` when it is what this process trusts by default (so that `ca` can be left out), or
   * `undefined` when it must be put first.
   * @param sha256 its name
   */
  get(sha256: string): Buffer | 'bundled' | undefined {
    if (sha256 === NOTHING_SHA256) return NOTHING;
    const own = defaultCa();
    if ('sha256' in own && own.sha256 === sha256) return 'bundled';
    const blob = this.#blobs.get(sha256);
    if (blob !== undefined) this.#touch(sha256, blob);
    return blob;
  }

  /**
   * Takes a blob that somebody in the daemon has; it stays as long as one that was put.
   * @param sha256 its name, which it hashes to
   */
  keep(sha256: string, blob: Buffer): void {
    if (blob.length === 0 || this.#blobs.has(sha256)) return;
    this.#makeRoom(blob.length);
    this.#blobs.set(sha256, blob);
    this.#totalBytes += blob.length;
  }

  /** Drops the unfinished upload of an owner, if there is one. Called when its link ends. */
  forget(owner: object): void {
    const upload = this.#uploads.get(owner);
    if (upload === undefined) return;
    this.#uploads.delete(owner);
    this.#totalBytes -= upload.bytes;
  }

  #append(owner: object, { sha256, offset, data, last }: BlobChunk): void {
    if (offset === 0) this.forget(owner);
    const upload = this.#uploads.get(owner) ?? { sha256, hash: createHash('sha256'), chunks: [], bytes: 0 };
    if (upload.sha256 !== sha256 || upload.bytes !== offset) {
      throw invalid('"offset" is not where the last chunk of the blob ended');
    }
    // Looked at before decoding, so that no more than a chunk's worth is ever decoded.
    if (Buffer.byteLength(data, 'base64') > MAX_BLOB_CHUNK_BYTES)
      throw invalid('"data" is longer than a chunk may be');
    const bytes = Buffer.from(data, 'base64');
    if (offset + bytes.length > MAX_BLOB_BYTES)
      throw invalid(`a blob is longer than ${MAX_BLOB_BYTES} bytes`);
    if (bytes.length === 0 && !last) throw invalid('"data" is empty');
    this.#makeRoom(bytes.length);
    this.#uploads.set(owner, upload);
    this.#totalBytes += bytes.length;
    upload.bytes += bytes.length;
    upload.hash.update(bytes);
    upload.chunks.push(bytes);
    if (last) this.#complete(owner, upload);
  }

  #complete(owner: object, upload: Upload): void {
    if (upload.hash.digest('hex') !== upload.sha256) throw invalid('the blob does not hash to "sha256"');
    this.forget(owner);
    if (this.#blobs.has(upload.sha256)) return;
    this.#blobs.set(upload.sha256, Buffer.concat(upload.chunks));
    this.#totalBytes += upload.bytes;
  }

  /** Drops the blobs that were not used for longest; sessions that are open do not need theirs any more. */
  #makeRoom(bytes: number): void {
    for (const [sha256, blob] of this.#blobs) {
      if (this.#totalBytes + bytes <= this.#maxTotalBytes) return;
      this.#blobs.delete(sha256);
      this.#totalBytes -= blob.length;
    }
    if (this.#totalBytes + bytes > this.#maxTotalBytes) {
      throw new TlshubError('ERR_TLSHUB_LIMIT', 'too many CA lists are being sent at once');
    }
  }

  #touch(sha256: string, blob: Buffer): void {
    this.#blobs.delete(sha256);
    this.#blobs.set(sha256, blob);
  }
}

function invalid(message: string): TlshubError {
  return new TlshubError('ERR_TLSHUB_INVALID_CALL', `put: ${message}`);
}
