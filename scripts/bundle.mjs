// Makes of the library's modules a few files: loading a hundred small ones costs a process more than its handshake would.
// The entry points share their chunks, so that `tlshub` and `tlshub/ssl` in one process are one library. Run by `npm run build`.
import { rmSync } from 'node:fs';
import { build } from 'esbuild';

const outdir = 'dist/bundle';
// Chunks are named after their contents.
rmSync(outdir, { recursive: true, force: true });

await build({
  entryPoints: [
    ...['index', 'register', 'ssl', 'https', 'http2'].map((name) => `dist/${name}.js`),
    // Found beside the chunk that starts it (src/wrapper/blocking-call.ts).
    'dist/wrapper/blocking-call-worker.js',
  ],
  entryNames: '[name]',
  outdir,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  external: ['koffi'],
  legalComments: 'eof',
  logLevel: 'warning',
});
