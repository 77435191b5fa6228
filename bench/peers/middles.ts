// All that the suite can put in the middle.
import type { BenchNode } from '../nodes.ts';
import { endpointMiddle } from './endpoint.ts';
import { haproxyMiddle } from './haproxy.ts';
import type { Carries, MiddleKind } from './middle.ts';
import { nginxMiddle } from './nginx.ts';
import { stunnelMiddle } from './stunnel.ts';

/** The kinds that carry bytes, or those that carry requests; tlshub once for each Node. */
export function middleKinds(carries: Carries, nodes: readonly BenchNode[]): MiddleKind[] {
  const peers = [
    haproxyMiddle('tcp'),
    haproxyMiddle('http'),
    nginxMiddle('stream'),
    nginxMiddle('http'),
    stunnelMiddle(),
  ];
  return [
    ...peers.filter((kind) => kind.carries === carries),
    ...nodes.map((node) => endpointMiddle(carries, node)),
  ];
}
