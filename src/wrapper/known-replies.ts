// The reply lines of the last lanes: a process that leases the same session again gets the same line again, which need
// not be read and checked twice. Called by lane-opening.ts.
import { type LaneReply, parseLaneReply } from '../protocol/messages.ts';

/** Lines remembered, and the longest one; each is of another session. */
const MAX_LINES = 16;
const MAX_LINE_BYTES = 16 * 1024;

type OpenReply = Extract<LaneReply, { rc: 1 }>;

/** The line used last at the end. */
const known: { line: Buffer; reply: OpenReply }[] = [];

/** The reply that an equal line was, in parts that its owner may change; `undefined` of a line that is new. */
export function knownReply(line: Buffer): OpenReply | undefined {
  const index = known.findLastIndex((entry) => entry.line.equals(line));
  const entry = known[index];
  if (entry === undefined) return undefined;
  if (index !== known.length - 1) known.push(...known.splice(index, 1));
  return copyOf(entry.reply);
}

/**
 * Reads a reply line that is new. Throws ERR_TLSHUB_PROTOCOL.
 * @param line its bytes, of which a copy is kept
 * @param message its value
 */
export function readReply(line: Buffer, message: Record<string, unknown>): LaneReply {
  const reply = parseLaneReply(message);
  if (reply.rc === -1 || reply.framed !== undefined || line.length > MAX_LINE_BYTES) return reply;
  if (known.length >= MAX_LINES) known.shift();
  known.push({ line: Buffer.from(line), reply });
  return copyOf(reply);
}

/** Applications get some of these objects, and the description goes on with each session. */
function copyOf(reply: OpenReply): OpenReply {
  const { tls } = reply;
  const { cipher, ephemeralKeyInfo } = tls;
  return {
    ...reply,
    tls: {
      ...tls,
      cipher: cipher && { ...cipher },
      ephemeralKeyInfo: ephemeralKeyInfo && { ...ephemeralKeyInfo },
    },
  };
}
