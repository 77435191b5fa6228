// What the broker says to one client, as a function of the log alone: given the same records, every process says the
// same packets. Knows nothing of sockets and files.

const MAX_MESSAGE_ID = 65_535;

/**
 * The record of a client's packet; `undefined` when nothing follows from it.
 * @param packet as mqtt-packet has read it
 */
export function toRecord({ cmd, ...packet }) {
  if (cmd === 'connect') return { cmd, returnCode: packet.protocolVersion === 4 ? 0 : 1 };
  if (cmd === 'publish') {
    const { topic, qos, retain, messageId } = packet;
    return { cmd, topic, qos, retain, messageId, payload: packet.payload.toString('base64') };
  }
  if (cmd === 'subscribe' || cmd === 'unsubscribe') {
    const { messageId, subscriptions, unsubscriptions } = packet;
    return { cmd, messageId, subscriptions, unsubscriptions };
  }
  return cmd === 'pingreq' ? { cmd } : undefined;
}

/** One client's side of the log. */
export class Conversation {
  #id;
  #subscriptions;
  #lastMessageId;

  /** @param kept what `snapshot` answered at the place from which the conversation goes on */
  constructor(id, { subscriptions = [], lastMessageId = 0 } = {}) {
    this.#id = id;
    this.#subscriptions = new Map(subscriptions);
    this.#lastMessageId = lastMessageId;
  }

  /** What must be known to go on from here. */
  snapshot() {
    return { subscriptions: [...this.#subscriptions], lastMessageId: this.#lastMessageId };
  }

  /**
   * The packets that follow from a record.
   * @param records of the log
   * @param number of the record in it
   */
  answer(records, number) {
    const record = records[number];
    const packets = record.from === this.#id ? this.#reply(record, records.slice(0, number)) : [];
    if (record.cmd === 'publish') packets.push(...this.#deliver(record, false));
    return packets;
  }

  #reply({ cmd, messageId, qos, returnCode, subscriptions, unsubscriptions }, before) {
    switch (cmd) {
      case 'connect':
        return [{ cmd: 'connack', returnCode, sessionPresent: false }];
      case 'pingreq':
        return [{ cmd: 'pingresp' }];
      case 'publish':
        return qos === 1 ? [{ cmd: 'puback', messageId }] : [];
      case 'unsubscribe':
        for (const filter of unsubscriptions) this.#subscriptions.delete(filter);
        return [{ cmd: 'unsuback', messageId }];
      default:
        return this.#subscribe(messageId, subscriptions, before);
    }
  }

  #subscribe(messageId, subscriptions, before) {
    const granted = subscriptions.map(({ topic, qos }) => {
      const most = Math.min(qos, 1);
      this.#subscriptions.set(topic, most);
      return most;
    });
    const filters = subscriptions.map(({ topic }) => topic);
    const isNew = ({ topic }) => filters.some((filter) => matches(filter, topic));
    const retained = retainedOf(before).filter(isNew);
    return [
      { cmd: 'suback', messageId, granted },
      ...retained.flatMap((record) => this.#deliver(record, true)),
    ];
  }

  /** A message, when the client has subscribed to it. */
  #deliver({ topic, payload, qos }, retain) {
    const granted = [...this.#subscriptions].filter(([filter]) => matches(filter, topic));
    if (granted.length === 0) return [];
    const least = Math.min(qos, Math.max(...granted.map(([, most]) => most)));
    const packet = { cmd: 'publish', topic, payload: Buffer.from(payload, 'base64'), qos: least, retain };
    if (least > 0) this.#lastMessageId = (this.#lastMessageId % MAX_MESSAGE_ID) + 1;
    return [{ ...packet, ...(least > 0 && { messageId: this.#lastMessageId }) }];
  }
}

/** The last retained message of each topic; an empty one takes it away (MQTT 3.1.1 §3.3.1.3). */
function retainedOf(records) {
  const retained = new Map();
  for (const record of records) {
    if (record.cmd !== 'publish' || !record.retain) continue;
    if (record.payload === '') retained.delete(record.topic);
    else retained.set(record.topic, record);
  }
  return [...retained.values()];
}

/** Wildcards of MQTT 3.1.1 §4.7.1. */
function matches(filter, topic) {
  const levels = topic.split('/');
  const parts = filter.split('/');
  if (parts.at(-1) === '#') return parts.slice(0, -1).every((part, index) => fits(part, levels[index]));
  return parts.length === levels.length && parts.every((part, index) => fits(part, levels[index]));
}

function fits(part, level) {
  return level !== undefined && (part === '+' || part === level);
}
