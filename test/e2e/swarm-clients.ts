// The clients of a server whose process comes and goes: plain node:tls, ws and mqtt, which know nothing of tlshub. A
// client whose connection closes or fails keeps that for the report; none ever connects again.
import { once } from 'node:events';
import tls from 'node:tls';
import mqtt from 'mqtt';
import { WebSocket } from 'ws';

/** Where the server is. */
export interface SwarmTarget {
  port: number;
  ca: Buffer;
}

/** Messages between two questions whether the server lives. */
const PING_EVERY = 250;

/** One client; its subclass is its protocol. */
export abstract class SwarmClient {
  readonly index: number;
  readonly received: string[] = [];
  readonly failures: string[] = [];
  /** Answers that must come besides the messages. */
  readonly awaited = new Set<string>();
  protected readonly target: SwarmTarget;
  #said = 0;
  #toSay = 0;
  /** Own messages that have not come back; a client with an even number waits for each. */
  #away = 0;

  constructor(index: number, target: SwarmTarget) {
    this.index = index;
    this.target = target;
  }

  abstract open(): Promise<void>;
  protected abstract send(text: string): void;
  /** Asks for an answer, `name`, besides the messages, where the protocol has such a thing. */
  protected abstract ping(name: string): void;

  /** Says so many numbered messages. */
  say(count: number): void {
    this.#toSay += count;
    this.#sayOn();
  }

  #sayOn(): void {
    const most = this.index % 2 === 0 ? 1 : Number.POSITIVE_INFINITY;
    while (this.#toSay > 0 && this.#away < most) {
      this.#toSay -= 1;
      this.#away += 1;
      this.#said += 1;
      this.send(`${this.index}: message ${this.#said}`);
    }
  }

  protected take(text: string): void {
    this.received.push(text);
    if (this.received.length % PING_EVERY === 0) this.ping(`ping ${this.received.length}`);
    if (!text.includes(`${this.index}: `)) return;
    this.#away -= 1;
    this.#sayOn();
  }

  protected answered(name: string): void {
    if (!this.awaited.delete(name)) this.fail(`${name} was answered and not asked`);
  }

  protected fail(what: string): void {
    this.failures.push(`client ${this.index}: ${what}`);
  }
}

class WebSocketClient extends SwarmClient {
  #webSocket: WebSocket | undefined;

  async open(): Promise<void> {
    const { port, ca } = this.target;
    const webSocket = new WebSocket(`wss://localhost:${port}/?name=${this.index}`, { ca });
    this.#webSocket = webSocket;
    webSocket.on('message', (data) => this.take(String(data)));
    webSocket.on('pong', (data) => this.answered(data.toString()));
    webSocket.on('error', (error) => this.fail(error.message));
    webSocket.on('close', (code) => this.fail(`closed with ${code}`));
    await once(webSocket, 'open');
  }

  protected send(text: string): void {
    // The server puts the name before it.
    this.#webSocket?.send(text.slice(text.indexOf(' ') + 1));
  }

  protected ping(name: string): void {
    this.awaited.add(name);
    this.#webSocket?.ping(name);
  }
}

class LineClient extends SwarmClient {
  #socket: tls.TLSSocket | undefined;

  async open(): Promise<void> {
    const { port, ca } = this.target;
    const socket = tls.connect({ host: 'localhost', port, ca });
    this.#socket = socket;
    let rest = '';
    socket.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) this.take(line);
    });
    socket.on('error', (error) => this.fail(error.message));
    socket.on('close', () => this.fail('closed'));
    await once(socket, 'secureConnect');
  }

  protected send(text: string): void {
    this.#socket?.write(`${text}\n`);
  }

  protected ping(): void {}
}

class MqttClient extends SwarmClient {
  #client: mqtt.MqttClient | undefined;
  #published = 0;
  #pings = 0;

  async open(): Promise<void> {
    const { port, ca } = this.target;
    const clientId = `client-${this.index}`;
    const client = await mqtt.connectAsync({
      protocol: 'mqtts',
      ...{ host: 'localhost', port, ca: [ca], clientId, reconnectPeriod: 0, keepalive: 0 },
    });
    this.#client = client;
    client.on('error', (error) => this.fail(error.message));
    client.on('close', () => this.fail('closed'));
    client.on('packetreceive', ({ cmd }) => {
      if (cmd !== 'pingresp') return;
      this.#pings += 1;
      this.answered(`pingresp ${this.#pings}`);
    });
    client.on('message', (_topic, payload, { retain }) => {
      if (retain) this.answered(`retained ${payload}`);
      else this.take(payload.toString());
    });
    // Before anybody has subscribed.
    if (this.index === 0) await client.publishAsync('room/0', 'welcome', { qos: 1, retain: true });
    this.awaited.add('retained welcome');
    await client.subscribeAsync('room/+', { qos: this.index % 2 === 0 ? 0 : 1 } as const);
  }

  protected send(text: string): void {
    this.#published += 1;
    const name = `publish ${this.#published}`;
    this.awaited.add(name);
    this.#client?.publish('room/1', text, { qos: this.index % 3 === 0 ? 0 : 1 }, (error) => {
      if (error) this.fail(error.message);
      this.answered(name);
    });
  }

  protected ping(): void {
    this.awaited.add(`pingresp ${this.#pings + this.#pingsAway() + 1}`);
    this.#client?.sendPing();
  }

  #pingsAway(): number {
    return [...this.awaited].filter((name) => name.startsWith('pingresp')).length;
  }
}

/** The protocols. */
export const SWARM_KINDS = { websocket: WebSocketClient, line: LineClient, mqtt: MqttClient } as const;
