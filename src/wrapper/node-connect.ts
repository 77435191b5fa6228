// Node's own tls.connect, taken before `tlshub/register` may replace it on the module object.
import tls from 'node:tls';

/** `tls.connect` of node:tls. */
export const nodeConnect: typeof tls.connect = tls.connect;
