/** A machine on a stage: the test is its clock, its sockets and its server. */

import { Machine } from '../../src/machine.js';
import { encodeFrame, parseFrame } from '../../src/wire.js';

export const STATE = { isPaused: false, isMuted: false, lastStateChange: 1 };
export const SESSION = 'faithful-shepherd-427';

export const SPEAKER = { kind: 'speaker', sourceLanguage: 'en' };
export const LISTENER = { kind: 'listener', sessionId: SESSION, targetLanguage: 'es' };

export const created = {
  type: 'sessionCreated',
  sessionId: SESSION,
  sourceLanguage: 'en',
  expiresAt: 9,
};
export const joined = {
  type: 'sessionJoined',
  sessionId: SESSION,
  sourceLanguage: 'en',
  targetLanguage: 'es',
  broadcastState: STATE,
};
export const speakerComplete = (lastSequence) => ({
  type: 'connectionRefreshComplete',
  sessionId: SESSION,
  role: 'speaker',
  sourceLanguage: 'en',
  broadcastState: STATE,
  lastSequence,
});
export const listenerComplete = {
  type: 'connectionRefreshComplete',
  sessionId: SESSION,
  role: 'listener',
  sourceLanguage: 'en',
  targetLanguage: 'es',
  replayed: 0,
};
export const refreshRequired = (refreshToken) => ({
  type: 'connectionRefreshRequired',
  reason: 'age',
  refreshToken,
  deadline: 1,
});

export const error = (code, details) => ({ type: 'error', code, message: 'no', details });

/** A frame as the server sends it. */
export const frame = (sequence) =>
  encodeFrame({
    kind: 'audio',
    language: 'en',
    sequence,
    capturedMicros: 1,
    payload: Uint8Array.of(7),
  });

export class Stage {
  constructor(role, { timing, random = () => 0.5, canPing = false } = {}) {
    this.machine = new Machine(role, timing);
    this.random = random;
    this.canPing = canPing;
    this.now = 1_000;
    this.effects = [];
  }

  /** Tells the machine and returns what it wants done. */
  tell(input) {
    const effects = this.machine.handle(input, this.now, this.random);
    this.effects.push(...effects);
    return effects;
  }

  /** The server says something on a socket. */
  hears(socket, message) {
    return this.tell({ type: 'text', socket, text: JSON.stringify(message) });
  }

  opens(socket, framing = 'binary') {
    return this.tell({ type: 'opened', socket, framing, canPing: this.canPing });
  }

  /** Begins, and lets the first connection come up. */
  begin(welcome) {
    this.tell({ type: 'start' });
    this.opens(1);
    return this.hears(1, welcome);
  }

  say(bytes) {
    const payload = Uint8Array.from([bytes].flat());
    return this.tell({ type: 'send', frame: { kind: 'audio', capturedMicros: this.now, payload } });
  }

  /** Lets time pass, with a tick whenever the machine has asked for one. */
  pass(ms) {
    const until = this.now + ms;
    const effects = [];
    for (
      let at = this.machine.deadline;
      at !== undefined && at <= until;
      at = this.machine.deadline
    ) {
      this.now = Math.max(this.now, at);
      effects.push(...this.tell({ type: 'tick' }));
    }
    this.now = until;
    return effects;
  }
}

export const events = (effects) =>
  effects.filter(({ type }) => type === 'deliver').map(({ event }) => event);
export const names = (effects) => events(effects).map(({ name }) => name);
export const detail = (effects, name) =>
  events(effects).find((event) => event.name === name)?.detail;
export const texts = (effects) =>
  effects.filter(({ type }) => type === 'text').map(({ text }) => JSON.parse(text));
export const opens = (effects) => effects.filter(({ type }) => type === 'open');
export const only = (effects, type) => effects.filter((effect) => effect.type === type);
export const sequences = (effects) =>
  only(effects, 'audio').map(({ data }) => parseFrame(data).sequence);

/** Numbers from a seed (mulberry32), so that a failure can be repeated. */
export function dice(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
