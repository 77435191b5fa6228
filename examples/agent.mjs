// A worker that asks often: many requests over few sessions, which go back to the daemon whenever they are free. Run
// several at once: together they use as many sessions as requests are under way, not as many as there are workers.
//
//   node examples/agent.mjs https://example.com/ [CA_FILE]
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import { Agent, sessions } from 'tlshub';

const [url, caFile] = process.argv.slice(2);
const ca = caFile && readFileSync(caFile);
const agent = new Agent({ maxSockets: 4 });

async function get() {
  const [response] = await once(https.get(url, { agent, ca }), 'response');
  response.resume();
  await once(response, 'end');
  return response.statusCode;
}

const statuses = await Promise.all(Array.from({ length: 20 }, get));
// Gives the sessions back now; by itself the agent does so 100 ms after the last request.
agent.destroy();

const { host } = new URL(url);
const open = (await sessions()).filter(({ peer }) => peer === host || peer === `${host}:443`);
console.log(`${statuses.length} requests, all ${new Set(statuses).size === 1 ? statuses[0] : statuses}`);
console.log(`${open.length} sessions to ${host} in the daemon`);
