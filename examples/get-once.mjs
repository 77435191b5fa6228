// A short-lived program: one HTTPS request, then it ends. The first run makes a TLS session; every further run within
// a minute finds it open and makes no handshake.
//
//   node examples/get-once.mjs https://example.com/ [CA_FILE]
import { readFileSync } from 'node:fs';
import https from 'node:https';
import { Agent } from 'tlshub';

const [url, caFile] = process.argv.slice(2);
const ca = caFile && readFileSync(caFile);

const request = https.get(url, { agent: new Agent(), ca }, (response) => {
  const { reused } = request.socket.sharing;
  let bytes = 0;
  response.on('data', (chunk) => {
    bytes += chunk.length;
  });
  response.on('end', () => {
    console.log(`${response.statusCode}, ${bytes} bytes, ${reused ? 'no handshake' : 'one handshake'}`);
  });
});
request.on('error', (error) => {
  console.error(`${error.code}: ${error.message}`);
  process.exitCode = 1;
});
