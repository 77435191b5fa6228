// An ordinary program that knows nothing of tlshub. Run it as it is and it makes a handshake each time; run it with
// `--import tlshub/register` and it shares.
//
//   node --import tlshub/register examples/unchanged.mjs https://example.com/
import https from 'node:https';

https.get(process.argv[2], (response) => {
  let bytes = 0;
  response.on('data', (chunk) => {
    bytes += chunk.length;
  });
  response.on('end', () => console.log(`${response.statusCode}, ${bytes} bytes`));
});
