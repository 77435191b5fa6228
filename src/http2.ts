// `tlshub/http2`: all of node:http2, with `shared` understood by its secure servers and its connections.
import nodeHttp2 from 'node:http2';
import { connectHttp2 as connect } from './wrapper/http2-connect.ts';
import { createHttp2Server as createSecureServer } from './wrapper/server/http2-servers.ts';

export type * from 'node:http2';
export * from 'node:http2';
export type { ShareableHttp2ClientOptions } from './wrapper/http2-connect.ts';
export type { ShareableHttp2Options, ShareableHttp2Server } from './wrapper/server/http2-servers.ts';
export { connect, createSecureServer };

const own = { connect, createSecureServer };

/** All of node:http2 with the names above in place; what an application changes on node:http2 is seen through it. */
const http2: Omit<typeof nodeHttp2, keyof typeof own> & typeof own = Object.assign(
  Object.create(nodeHttp2),
  own,
);

export default http2;
