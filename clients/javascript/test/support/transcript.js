/**
 * Plays the server's part of a golden conversation to the machines of its clients.
 *
 * The conversations are made for servers: several clients speak, and some say what no good client
 * would. So each client is taken by itself. It is given what the server says, and what it has to
 * say of its own is compared with the lines; what only a bad client would say is passed over.
 */

import assert from 'node:assert/strict';

import { encodeFrame, parseFrame } from '../../src/wire.js';
import { detail, names, only, opens, SESSION, Stage, STATE, texts } from './stage.js';

/** The event that goes with a message. */
const EVENTS = {
  connectionRefreshRequired: 'refreshing',
  connectionWarning: 'warning',
  sessionPaused: 'paused',
  sessionResumed: 'resumed',
  sessionMuted: 'muted',
  sessionUnmuted: 'unmuted',
  languageChanged: 'languageChanged',
  broadcastState: 'state',
  sessionStatus: 'status',
  sessionEnded: 'ended',
  sessionCreated: 'sessionCreated',
  sessionJoined: 'sessionJoined',
  audioData: 'audio',
};

/** What a message has besides what a conversation names. */
const USUAL = {
  sessionId: SESSION,
  sourceLanguage: 'en',
  language: 'en',
  connectionId: 'c',
  expiresAt: 9,
  reason: 'age',
  message: 'm',
  remainingMinutes: 15,
  listenerCount: 1,
  sessionDuration: 9,
  role: undefined,
  code: 'NONE',
};

export class Replay {
  /** How many lines were given or compared. */
  lines = 0;
  #values = { $session: SESSION };
  #sockets = new Map();
  #current;
  #isOver = false;

  constructor(client) {
    this.client = client;
  }

  take(line) {
    const isOurs = line.conn?.split('/')[0] === this.client;
    if (this.#isOver || !isOurs) return;
    if (line.do === 'connect') this.#connect(line);
    else if (line.do) this.#goes(line);
    else if (line.refused) this.#refused(line);
    else if (line.send) this.#says(line.conn, this.#fill(line.send));
    else if (line.sendBinary) this.#speaks(line.conn, line.sendBinary);
    else if (line.expect) this.#hears(line.conn, line.expect);
    else if (line.expectBinary) this.#hearsFrame(line.conn, line.expectBinary);
    else if (line.expectClose) this.#closed(line);
  }

  #connect({ conn, query, offer }) {
    const wanted = this.#fill(query);
    let pending;
    if (!this.stage) {
      const role = roleOf(wanted);
      if (!role) return this.#leave();
      this.stage = new Stage(role, { timing: { pingAfter: 9e12, heartbeat: 9e12 } });
      pending = opens(this.stage.tell({ type: 'start' }));
    } else {
      pending = opens(this.stage.effects).filter(({ socket }) => !this.#isKnown(socket));
      if (pending.length === 0) pending = opens(this.stage.pass(1_000));
    }
    // Nobody asked this client to refresh, so a good one does not.
    if (pending.length === 0) return this.#leave();
    const { socket, query: asked } = pending.at(-1);
    for (const [name, value] of Object.entries(wanted)) {
      // What it has heard is its own affair, and the token is the shell's.
      if (name !== 'lastSequence' && name !== 'token')
        assert.equal(asked[name] ?? '', value, `${conn}: ${name}`);
    }
    this.lines += 1;
    this.#sockets.set(conn, socket);
    this.#current = conn;
    this.stage.opens(socket, offer ? 'binary' : 'json');
    return undefined;
  }

  #isKnown(socket) {
    return [...this.#sockets.values()].includes(socket);
  }

  #refused({ conn, refused: status, body }) {
    const failure = { kind: 'refused', status, message: '', error: this.#fill(body) };
    const effects = this.stage.tell({ type: 'failed', socket: this.#sockets.get(conn), failure });
    assert.ok(names(effects).includes('closed'), `${conn}: ${status}`);
    this.lines += 1;
  }

  /** What a client wants is told to the machine, which must say the same as the line. */
  #says(conn, message) {
    if (conn !== this.#current || this.stage.machine.isDone) return;
    const inputs = {
      controlSession: { type: 'control', control: message.command, message: message.message },
      changeLanguage: { type: 'changeLanguage', target: message.targetLanguage },
      getSessionStatus: { type: 'status' },
      endSession: { type: 'end', reason: message.reason },
    };
    const input = Object.hasOwn(inputs, message.action) ? inputs[message.action] : undefined;
    const isSpeaker = this.stage.machine.speaking !== undefined;
    const isRight = isSpeaker !== (message.action === 'changeLanguage');
    if (!input || !isRight || !isWellFormed(message)) return;
    const said = texts(this.stage.tell(input));
    assert.deepEqual(said, [message], `${conn} says`);
    this.lines += 1;
  }

  #speaks(conn, { kind, captured, payload }) {
    if (conn !== this.#current || !this.stage.machine.speaking) return;
    const bytes = new Uint8Array(Buffer.from(payload, 'base64'));
    const frame = { kind: kindOf(kind), capturedMicros: captured, payload: bytes };
    const [audio] = only(this.stage.tell({ type: 'send', frame }), 'audio');
    if (!audio) return;
    assert.deepEqual([...parseFrame(audio.data).payload], [...bytes]);
    this.lines += 1;
  }

  #hears(conn, template) {
    const message = this.#message(template);
    const socket = this.#sockets.get(conn);
    const before = this.stage.machine.origin(socket);
    const effects = this.stage.hears(socket, message);
    const expected = EVENTS[message.type];
    if (before === 'former') assert.deepEqual(effects, [], `${conn}: a former connection`);
    else if (expected) assert.ok(names(effects).includes(expected), `${conn}: ${message.type}`);
    if (message.type === 'connectionRefreshComplete' && before !== 'former') {
      assert.match(names(effects).join(), /refreshed|reconnected|sessionTaken/);
    }
    this.lines += 1;
  }

  #hearsFrame(conn, { kind = 1, language = 'en', sequence, captured, payload = 'AA==' }) {
    const bytes = encodeFrame({
      kind: kindOf(kind),
      language,
      sequence,
      // Tests of servers do not mind when; a frame that is sent again has its own time.
      capturedMicros: captured ?? sequence,
      payload: new Uint8Array(Buffer.from(payload, 'base64')),
    });
    const socket = this.#sockets.get(conn);
    const last = this.stage.machine.hearing.order.lastSequence ?? -1;
    const effects = this.stage.tell({ type: 'binary', socket, bytes });
    const isNew = sequence > last || kind === 2;
    assert.equal(detail(effects, kindOf(kind))?.sequence, isNew ? sequence : undefined, conn);
    this.lines += 1;
  }

  #closed({ conn, expectClose: code, reason }) {
    const { machine } = this.stage;
    const socket = this.#sockets.get(conn);
    const isFirst = machine.origin(socket) === 'first';
    const effects = this.stage.tell({ type: 'closed', socket, code, reason });
    if (isFirst && [1000, 1008].includes(code)) assert.ok(machine.isDone, `${conn}: ${code}`);
    if (isFirst && code === 1001) assert.deepEqual(names(effects), ['reconnecting']);
    this.lines += 1;
  }

  #goes({ conn, do: what, code }) {
    const socket = this.#sockets.get(conn);
    if (conn !== this.#current) {
      const closed = only(this.stage.effects, 'close').filter((effect) => effect.socket === socket);
      assert.deepEqual(closed, [{ type: 'close', socket, code }], `${conn} is closed`);
    } else if (what === 'close' && code === 1000) {
      this.stage.tell({ type: 'leave' });
    } else {
      this.stage.tell({ type: 'closed', socket });
    }
    this.lines += 1;
  }

  #message(template) {
    const message = this.#fill(template);
    const usual = structuredClone(USUAL);
    if (/Paused|Resumed|Muted|Unmuted/.test(message.type)) delete usual.reason;
    if (this.stage.machine.speaking) usual.role = 'speaker';
    else Object.assign(usual, { role: 'listener', targetLanguage: 'es' });
    // When it changed is mostly left open; what is told later is not older.
    const state = { ...STATE, ...message.broadcastState, lastStateChange: this.lines };
    for (const name of Object.keys(template)) if (template[name] === null) delete usual[name];
    return { ...usual, ...message, broadcastState: state };
  }

  /** Puts values for the names; what is to be absent is left out. */
  #fill(template) {
    const filled = {};
    for (const [name, value] of Object.entries(template)) {
      if (value === null) continue;
      if (value === '$_') filled[name] = USUAL[name] ?? 7;
      else if (typeof value === 'string' && value.startsWith('$')) {
        const [key, more] = value.split('+');
        this.#values[key] ??= /start|paused|muted/.test(key) ? 1_000 : `value of ${key}`;
        filled[name] = more ? this.#values[key] + Number(more) : this.#values[key];
      } else if (typeof value === 'object' && !Array.isArray(value)) {
        filled[name] = this.#fill(value);
      } else {
        filled[name] = value;
      }
    }
    return filled;
  }

  #leave() {
    this.#isOver = true;
  }
}

function roleOf({ action, sessionId, sourceLanguage, targetLanguage, role, qualityTier }) {
  if (action === 'createSession') return { kind: 'speaker', sourceLanguage, qualityTier };
  if (action === 'joinSession') return { kind: 'listener', sessionId, targetLanguage };
  if (role === 'speaker') return { kind: 'speaker', sessionId, sourceLanguage: 'en' };
  return undefined;
}

const kindOf = (number) => (number === 2 ? 'configuration' : 'audio');

function isWellFormed({ command, targetLanguage, message, sessionId, ...others }) {
  if (command && !/^(pause|resume|mute|unmute)$/.test(command)) return false;
  if (targetLanguage && !/^[a-z]{2}$/.test(targetLanguage)) return false;
  if (sessionId || String(message ?? '').length > 280) return false;
  return Object.values(others).every((value) => typeof value === 'string');
}
