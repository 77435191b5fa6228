// `tlshub/https`: all of node:https, with `shared` understood by its servers and its requests.
import nodeHttps from 'node:https';
import { HttpsAgent as Agent, get, request } from './wrapper/https-client.ts';
import {
  createHttpsServer as createServer,
  HttpsServerClass as Server,
} from './wrapper/server/http-servers.ts';

export type * from 'node:https';
export * from 'node:https';
export type { ShareableRequestOptions } from './wrapper/https-client.ts';
export type { ShareableHttpsOptions, ShareableHttpsServer } from './wrapper/server/http-servers.ts';
export { Agent, createServer, get, request, Server };

const own = { Agent, createServer, get, request, Server };

/** All of node:https with the names above in place; what an application changes on node:https is seen through it. */
const https: Omit<typeof nodeHttps, keyof typeof own> & typeof own = Object.assign(
  Object.create(nodeHttps),
  own,
);

// A variable of node:https: setting it here must set it there.
Object.defineProperty(https, 'globalAgent', {
  enumerable: true,
  get: () => nodeHttps.globalAgent,
  set: (agent: typeof nodeHttps.globalAgent) => {
    nodeHttps.globalAgent = agent;
  },
});

export default https;
