// Answers what a handshake in the daemon asks of this application: SNICallback, ALPNCallback, OCSPRequest, called as
// node:tls calls them. What they answer crosses by its contents.
import type { SecureContext, Server } from 'node:tls';
import { TlshubError } from '../../errors.ts';
import type { WireEvent } from '../../protocol/messages.ts';
import { encodeError } from '../../protocol/wire-error.ts';
import { isUnshareable } from '../context-key.ts';
import type { DaemonLink } from '../daemon-link.ts';
import type { ListenerEvent } from '../link-holders.ts';
import { describeContextOption, type ServerFunctions } from './resolve-server.ts';

type Question = Extract<ListenerEvent, { event: 'question' }>;
type Answer = Omit<Extract<WireEvent, { event: 'answer' }>, 'event' | 'question'>;

/**
 * Asks the application, and tells the daemon.
 * @param server whose listeners are asked
 * @param functions of its options
 * @param link the daemon's that asked
 */
export function answerQuestion(
  server: Server,
  functions: ServerFunctions,
  question: Question,
  link: DaemonLink,
): void {
  const send = (answer: Answer) =>
    link.sendEvent({ event: 'answer', question: question.question, ...answer });
  ask(server, functions, question, link).then(send, (error: Error) => send({ error: encodeError(error) }));
}

async function ask(
  server: Server,
  functions: ServerFunctions,
  question: Question,
  link: DaemonLink,
): Promise<Answer> {
  if (question.kind === 'sni') return askForContext(functions, question, link);
  if (question.kind === 'ocsp') return askForResponse(server, question);
  const { servername = '', protocols = [] } = question;
  const protocol = functions.ALPNCallback?.({ servername, protocols });
  if (protocol === undefined) return {};
  if (!protocols.includes(protocol)) throw notOffered(protocol, protocols);
  return { protocol };
}

async function askForContext(
  { SNICallback }: ServerFunctions,
  { servername = '' }: Question,
  link: DaemonLink,
): Promise<Answer> {
  const answered = await new Promise<SecureContext | undefined>((resolve, reject) => {
    SNICallback?.(servername, (error, context) => {
      if (error) reject(error);
      else resolve(context ?? undefined);
    });
  });
  if (answered === undefined) return {};
  const crossing = describeContextOption(answered);
  if (isUnshareable(crossing)) {
    const why = `SNICallback answered a context that cannot cross: ${crossing.reason}`;
    throw new TlshubError('ERR_TLSHUB_NOT_SHAREABLE', why);
  }
  const blob = crossing.caBlob();
  // The daemon keeps it; whether it has it already is not known here.
  if (blob !== undefined) await link.putBlob(crossing.context.ca, blob);
  return { context: crossing.context };
}

function askForResponse(server: Server, { certificate = '', issuer }: Question): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const callback = (error: Error | null, response: Buffer | null) => {
      if (error) reject(error);
      else resolve(response ? { response: response.toString('base64') } : {});
    };
    const der = (text: string) => Buffer.from(text, 'base64');
    const asked = server.emit('OCSPRequest', der(certificate), issuer ? der(issuer) : null, callback);
    if (!asked) callback(null, null);
  });
}

/** The error of node:tls for an ALPNCallback that answers something else (ERR_TLS_ALPN_CALLBACK_INVALID_RESULT). */
function notOffered(protocol: string, protocols: readonly string[]): Error {
  const message = `ALPN callback returned a value (${protocol}) that did not match any of the client's offered protocols (${protocols.join(', ')})`;
  return Object.assign(new TypeError(message), { code: 'ERR_TLS_ALPN_CALLBACK_INVALID_RESULT' });
}
