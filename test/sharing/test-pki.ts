// The certificates of the sharing tests, made once a file: keys are what takes time.

import { TWO_ADDRESSES } from '#helpers/two-addresses.js';
import { type Authority, type Certificate, createCa } from '#src/cli/demo/pki.js';

/** Certificates of all the kinds that the scenarios need. */
export interface TestPki {
  ca: Authority;
  /** A root that signed nothing here. */
  strangeCa: Authority;
  /** For localhost, 127.0.0.1 and {@link TWO_ADDRESSES}. */
  good: Certificate;
  /** Below an intermediate authority. */
  intermediate: Certificate;
  intermediateCa: Authority;
  expired: Certificate;
  notYetValid: Certificate;
  /** For another host. */
  wrongName: Certificate;
  selfSigned: Certificate;
  rsa: Certificate;
  /** A client's. */
  client: Certificate;
  /** A client's, from an authority that the servers do not trust. */
  strangeClient: Certificate;
}

const DAY_MS = 24 * 60 * 60 * 1000;

/** Makes all certificates. */
export async function makeTestPki(): Promise<TestPki> {
  const ca = await createCa({ name: 'Test root' });
  const strangeCa = await createCa({ name: 'Strange root' });
  const intermediateCa = await ca.createIntermediate({ name: 'Test intermediate' });
  const names = ['localhost', '127.0.0.1', TWO_ADDRESSES];
  const now = Date.now();
  const past = { notBefore: new Date(now - 2 * DAY_MS), notAfter: new Date(now - DAY_MS) };
  const future = { notBefore: new Date(now + DAY_MS), notAfter: new Date(now + 2 * DAY_MS) };
  return {
    ca,
    strangeCa,
    intermediateCa,
    good: await ca.issue({ names }),
    intermediate: await intermediateCa.issue({ names }),
    expired: await ca.issue({ names, ...past }),
    notYetValid: await ca.issue({ names, ...future }),
    wrongName: await ca.issue({ names: ['other.test', 'another.test'] }),
    selfSigned: await ca.issue({ names, selfSigned: true }),
    rsa: await ca.issue({ names, keyType: 'rsa' }),
    client: await ca.issue({ names: ['client'], clientAuth: true }),
    strangeClient: await strangeCa.issue({ names: ['strange client'], clientAuth: true }),
  };
}
