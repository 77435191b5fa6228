// The version of this package, from its package.json, which it finds by its own name wherever a bundle has put this; wrapper and daemon tell it each other in the hello.
import { createRequire } from 'node:module';

const packageJson = createRequire(import.meta.url)('tlshub/package.json') as { version: string };

/** Version of the package, as in package.json. */
export const VERSION: string = packageJson.version;
