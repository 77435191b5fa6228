// The sections of the configuration file that define endpoints, and what they come to when it is loaded. Files that they
// name are read by load-contexts.ts, as those of contexts are.
import net from 'node:net';
import { resolve } from 'node:path';
import type { TomlTable } from 'smol-toml';
import * as v from 'valibot';
import { encodeAlpn, HTTP1_ALPN } from '../../protocol/alpn.ts';
import { NO_CA_SHA256 } from '../../protocol/ca-blob.ts';
import { ENDPOINT_KINDS, flawOfPlace, parseEndpointPlace } from '../../protocol/endpoint-place.ts';
import { type ContextKey, contextFields, type SessionKey } from '../../protocol/session-key.ts';
import { MATERIAL_KEYS, refuseMaterial } from '../contexts/context-file.ts';
import type { LoadedContext } from '../contexts/load-contexts.ts';
import { flaw, quoted, type SectionRules, sectionsOf } from '../contexts/toml-sections.ts';
import type { EndpointSettings } from './endpoint-settings.ts';

const kind = `one of ${quoted(ENDPOINT_KINDS)}`;
const name = 'a name, between quotes';
const yesOrNo = 'true or false';
const listen = 'an address or a path, such as "127.0.0.1:9000" or "unix:api.sock"';
const to = 'an address, such as "api.example:443"';
const TARGET = /^(?:\[([0-9a-fA-F:.]+)\]|([^:\][\s]+)):(\d{1,5})$/;
const MAX_PORT = 65_535;
/** Least size of a Diffie-Hellman prime, in bits, as node:tls has it (Node docs, `tls.connect`). */
const MIN_DH_BITS = 1_024;

/** Keys of an `[endpoint.NAME]` section; each schema's message says what the value must be. */
export const ENDPOINT_KEYS = {
  listen: v.string(listen),
  to: v.pipe(v.string(to), v.regex(TARGET, to)),
  kind: v.optional(v.picklist(ENDPOINT_KINDS, kind), 'raw'),
  context: v.optional(v.pipe(v.string(name), v.nonEmpty(name))),
  servername: v.optional(v.pipe(v.string(name), v.nonEmpty(name))),
  ...MATERIAL_KEYS,
  keep_host: v.optional(v.boolean(yesOrNo), false),
  unsafe_listen: v.optional(v.boolean(yesOrNo), false),
} as const;

/** An endpoint as the file defines it; paths are as written there. */
export type EndpointDefinition = v.InferOutput<v.ObjectSchema<typeof ENDPOINT_KEYS, undefined>>;

const RULES: SectionRules<typeof ENDPOINT_KEYS> = {
  kind: 'endpoint',
  keys: ENDPOINT_KEYS,
  required: { listen, to },
  refuseContradiction(where, definition) {
    const { context, kind, alpn, keep_host: keepHost } = definition;
    const own = Object.keys(MATERIAL_KEYS).find(
      (key) => key !== 'alpn' && definition[key as keyof typeof MATERIAL_KEYS] !== undefined,
    );
    if (context !== undefined && own !== undefined)
      throw flaw(`${where}: "context" and "${own}" exclude each other`);
    if (kind === 'http' && alpn !== undefined)
      throw flaw(`${where}: "alpn" is for kind "raw"; kind "http" speaks HTTP/1.1`);
    if (kind === 'raw' && keepHost) throw flaw(`${where}: "keep_host" is for kind "http"`);
    refuseMaterial(where, definition);
  },
};

/** The endpoints that a configuration file defines, by name. Throws ERR_TLSHUB_CONFIG with the line or the key. */
export function parseEndpoints(text: string, document: TomlTable): Map<string, EndpointDefinition> {
  return sectionsOf(text, document, RULES);
}

/**
 * What a definition comes to. Throws ERR_TLSHUB_CONFIG.
 * @param directory of the file, for a relative path
 * @param own certificates and keys of the section; absent where it names a context
 */
export function endpointSettings(
  definition: EndpointDefinition,
  directory: string,
  own: LoadedContext | undefined,
): EndpointSettings {
  const { kind, keep_host: keepHost, unsafe_listen: unsafeListen } = definition;
  const written = parseEndpointPlace(definition.listen);
  if (typeof written === 'string') throw flaw(`"listen": ${written}`);
  const place = written.path === null ? written : { ...written, path: resolve(directory, written.path) };
  const obstacle = flawOfPlace(place, unsafeListen);
  if (obstacle !== undefined) throw flaw(`"listen": ${obstacle} ("unsafe_listen = true")`);
  const { ca = Buffer.alloc(0) } = own ?? {};
  if (ca === 'bundled' && own?.context.ca === NO_CA_SHA256)
    throw flaw('what this daemon trusts by default cannot be told: name files in "ca"');
  return { place, kind, keepHost, unsafeListen, key: sessionKey(definition, own), ca };
}

/** The key that a process's own request would have (wrapper/resolve-request.ts), so that both can share sessions. */
function sessionKey(definition: EndpointDefinition, own: LoadedContext | undefined): SessionKey {
  const [, literal, name, port] = TARGET.exec(definition.to) ?? [];
  const host = literal ?? name ?? '';
  if (Number(port) < 1 || Number(port) > MAX_PORT) throw flaw(`"to" must be ${to}`);
  const { kind, alpn, context = null, servername } = definition;
  const protocols = kind === 'http' ? HTTP1_ALPN : alpn && encodeAlpn(alpn);
  return {
    host,
    port: Number(port),
    path: null,
    family: 0,
    hints: null,
    localAddress: null,
    localPort: null,
    autoSelectFamily: net.getDefaultAutoSelectFamily(),
    autoSelectFamilyAttemptTimeout: net.getDefaultAutoSelectFamilyAttemptTimeout(),
    servername: servername ?? (net.isIP(host) === 0 ? host : null),
    ALPNProtocols: protocols?.toString('base64') ?? null,
    rejectUnauthorized: true,
    checkServerIdentity: false,
    requestOCSP: false,
    minDHSize: MIN_DH_BITS,
    context,
    ...(own?.context ?? noMaterial()),
  };
}

/** What a key has that names a context. */
function noMaterial(): ContextKey {
  const nothing = Object.fromEntries(Object.keys(contextFields).map((field) => [field, null]));
  return { ...nothing, ca: NO_CA_SHA256 } as ContextKey;
}
