// What servers are made of: certificates, keys and CA lists, from the worker or, where it names a context, from the
// configuration of the daemon. Called by groups.ts.
import { createSecureContext, type SecureContext, type TlsOptions } from 'node:tls';
import { TlshubError } from '../../errors.ts';
import type { ServerKey } from '../../protocol/server-key.ts';
import type { ContextKey } from '../../protocol/session-key.ts';
import type { BlobStore } from '../blob-store.ts';
import { refuseMaterial } from '../contexts/context-use.ts';
import type { Contexts } from '../contexts/contexts.ts';
import { clearOpensslErrors } from '../openssl-errors.ts';
import { toServerOptions } from './server-options.ts';

/** How a server judges its clients; texts that are equal mean the same. */
export interface Judgement {
  /** Everything but the server's own certificates and keys. */
  readonly text: string;
  /** What clients are verified by; empty when they need no certificate. */
  readonly demands: string;
}

/** Finds material; one for the daemon. */
export class ServerMaterial {
  readonly #blobs: BlobStore;
  readonly #contexts: Contexts;

  constructor({ blobs, contexts }: { blobs: BlobStore; contexts: Contexts }) {
    this.#blobs = blobs;
    this.#contexts = contexts;
  }

  /**
   * Options of tls.createServer. Throws ERR_TLSHUB_BLOB_MISSING, ERR_TLSHUB_CONTEXT_UNKNOWN, and ERR_TLSHUB_INVALID_CALL
   * when a context is named and material given.
   * @param key what a worker asked for
   * @param uid whose it is
   */
  serverOptions(key: ServerKey, uid: number): TlsOptions {
    if (key.context === null) return toServerOptions(key, this.#trust(key));
    refuseMaterial(key);
    const { context, ca, ALPNProtocols } = this.#contexts.get(key.context, uid, 'server');
    return toServerOptions({ ...key, ...context, ALPNProtocols: key.ALPNProtocols ?? ALPNProtocols }, ca);
  }

  /** How a server judges its clients. Throws ERR_TLSHUB_CONTEXT_UNKNOWN. */
  judgementOf(key: ServerKey, uid: number): Judgement {
    const resolved = key.context === null ? key : this.#contexts.get(key.context, uid, 'server').context;
    const { ca, crl, allowPartialTrustChain } = resolved;
    const demands = [key.rejectUnauthorized, ca, crl, allowPartialTrustChain];
    return {
      text: JSON.stringify([withoutIdentity(key), withoutIdentity(resolved)]),
      demands: key.requestCert ? JSON.stringify(demands) : '',
    };
  }

  /** Options of setSecureContext. Throws ERR_TLSHUB_BLOB_MISSING. */
  contextOptions(context: ContextKey): TlsOptions {
    return toServerOptions(context, this.#trust(context));
  }

  /** A context for server names. Throws ERR_TLSHUB_BLOB_MISSING, and what tls.createSecureContext throws. */
  makeContext(context: ContextKey): SecureContext {
    try {
      return createSecureContext(this.contextOptions(context));
    } finally {
      clearOpensslErrors();
    }
  }

  #trust({ ca }: ContextKey): Buffer | 'bundled' {
    const blob = this.#blobs.get(ca);
    if (blob === undefined) throw new TlshubError('ERR_TLSHUB_BLOB_MISSING');
    return blob;
  }
}

function withoutIdentity(key: ContextKey): object {
  const { cert: _cert, key: _key, pfx: _pfx, passphrase: _passphrase, ...rest } = key;
  return rest;
}
