/**
 * The machine: inputs in, effects out. It has no socket, no clock and no randomness of its own.
 *
 * ```text
 *            ┌──────────── down (waits) ◀───────────┐
 *            ▼                                      │ lost
 * idle ─▶ opening ── first message ──▶ up ──────────┤
 *            │                          ▲           │ ended, left, refused
 *            └─ refused ─▶ done ◀───────┼───────────┘
 *                                       │ switched
 *            beside up: refresh { opening | waiting }
 * ```
 *
 * A refresh makes before it breaks: the second socket is opened while the first one serves, and
 * becomes the first when the server has answered on it.
 */

import { Backoff } from './backoff.js';
import { Frames } from './frames.js';
import { Order } from './order.js';
import { TIMING } from './timing.js';
import * as connect from './machine/connect.js';
import * as hear from './machine/hear.js';
import * as receive from './machine/receive.js';
import * as refresh from './machine/refresh.js';
import * as speak from './machine/speak.js';

/** @import { Effect } from './effect.js' */
/** @import { Closed, Event } from './event.js' */
/** @import { Framing, Input } from './input.js' */
/** @import { Pulse } from './pulse.js' */
/** @import { Timing } from './timing.js' */
/** @import { BroadcastState } from './wire.js' */

/**
 * What a client is in its session: a speaker, who makes a session or takes up the one with
 * `sessionId`, or a listener, who joins one.
 *
 * @typedef {(
 *   | { kind: 'speaker', sessionId?: string, sourceLanguage: string, qualityTier?: string }
 *   | { kind: 'listener', sessionId: string, targetLanguage: string }
 * )} Role
 */

/**
 * What only a speaker has. `state` is what the server says, `wish` what the user wants and the
 * server has not confirmed, `unanswered` are commands that it has not yet answered (until it has,
 * its word is on older wishes), `told` is the last status that the user was told.
 *
 * @typedef {{ language: string, qualityTier?: string, frames: Frames, state: BroadcastState,
 *   wish: { isPaused?: Steering, isMuted?: Steering }, unanswered: number, asksStatus: boolean,
 *   told: string, toldAt: number }} Speaking
 */

/** @typedef {{ isOn: boolean, message?: string }} Steering */

/**
 * What only a listener has. `target` is what the user wants to hear, `confirmed` what the server
 * has agreed to, `told` what it was last asked for on the present connection; nothing after a
 * refusal.
 *
 * @typedef {{ target: string, confirmed?: string, told?: string, refreshToken?: string,
 *   order: Order }} Hearing
 */

/**
 * A socket whose first message is awaited; `framing` is known when the handshake is done.
 *
 * @typedef {{ socket: number, framing?: Framing, canPing: boolean, until: number }} Opening
 */

/** @typedef {{ answer: string, at: number, isOurs: boolean }} Question */

/**
 * The connection that serves. `inFlight` are frames that the shell has not yet written, `asked`
 * what the server has not yet answered. `mayBeSuperseded`: a second socket came to nothing, but the
 * member may have moved there although no answer came. `isForgotten`: the server has no record of
 * it any more, and will not tell the end of the session on it.
 *
 * @typedef {{ socket: number, framing: Framing, canPing: boolean, since: number, pulse: Pulse,
 *   inFlight: number, asked: Question[], mayBeSuperseded: boolean, isForgotten: boolean }} Up
 */

/**
 * @typedef {(
 *   | { at: 'idle' } | { at: 'done' }
 *   | { at: 'opening', opening: Opening }
 *   | { at: 'up', up: Up }
 *   | { at: 'down', retryAt: number, notBefore: number }
 * )} Link
 */

/**
 * The second socket of a refresh. After a refusal that would be the same again, the first socket
 * serves until it is closed. `notBefore` ends a wait that nothing cuts short.
 *
 * @typedef {{ backoff: Backoff, opening?: Opening, until?: number, notBefore: number }} Refresh
 */

/**
 * The session is to be ended by its speaker: `until` is for what is still to be said, and once the
 * server was told, `answerBy` for its answer.
 *
 * @typedef {{ reason?: string, until: number, answerBy?: number }} Leaving
 */

/** All was said; for a speaker's serving connection it ends the session. */
const NORMAL = 1000;

/** One member of one session, over as many connections as it takes. */
export class Machine {
  /**
   * A machine that has not begun; it waits for the input `start`.
   *
   * @param {Role} role
   * @param {Partial<Timing>} [timing]
   */
  constructor(role, timing = {}) {
    /** @internal */
    this.timing = { ...TIMING, ...timing };
    /** @type {string | undefined} The session, once it is known. */
    this.session = role.sessionId;
    /** @internal @type {Speaking | undefined} */
    this.speaking = role.kind === 'speaker' ? speak.speaking(role) : undefined;
    /** @internal @type {Hearing | undefined} */
    this.hearing =
      role.kind === 'listener' ? { target: role.targetLanguage, order: new Order() } : undefined;
    /** @internal @type {Link} */
    this.link = { at: 'idle' };
    /** @internal @type {Refresh | undefined} */
    this.refresh = undefined;
    /** @internal */
    this.backoff = new Backoff();
    /** @internal @type {number | undefined} The first loss since there was a steady connection. */
    this.lostAt = undefined;
    /** @internal @type {Leaving | undefined} */
    this.leaving = undefined;
    /** @internal The `lastStateChange` of the newest state that the server has told. */
    this.stateChangedAt = 0;
    /** @internal */
    this.sockets = 0;
    /** @internal */
    this.now = 0;
    /** @internal @type {() => number} */
    this.random = () => 0;
    /** @internal @type {Effect[]} */
    this.effects = [];
  }

  /** Whether `closed` was delivered. */
  get isDone() {
    return this.link.at === 'done';
  }

  /** @internal @type {Up | undefined} */
  get up() {
    return this.link.at === 'up' ? this.link.up : undefined;
  }

  /** @internal @type {Opening | undefined} */
  get opening() {
    return this.link.at === 'opening' ? this.link.opening : undefined;
  }

  /**
   * Whether the server may have moved the member away from the connection that serves.
   *
   * @internal
   */
  get mayBeSuperseded() {
    const { hearing, refresh, up } = this;
    // Nobody else takes a listener's place.
    return !!(refresh?.opening || up?.mayBeSuperseded || (hearing && up?.isForgotten));
  }

  /**
   * Takes an input and tells what is to be done for it, in this order.
   *
   * @param {Input} input
   * @param {number} now Milliseconds of any clock that only goes forward.
   * @param {() => number} random From 0 up to 1.
   * @returns {Effect[]}
   */
  handle(input, now, random) {
    if (this.isDone) return [];
    this.now = Math.max(this.now, now);
    this.random = random;
    take(this, input);
    // First the refresh: what becomes of a lost link depends on it.
    refresh.lookAtTheRefresh(this);
    connect.lookAtTheLink(this);
    speak.lookAtTheEnd(this);
    speak.speak(this);
    const effects = this.effects;
    this.effects = [];
    return effects;
  }

  /**
   * When the input `tick` is wanted at the latest.
   *
   * @returns {number | undefined}
   */
  get deadline() {
    const { link } = this;
    if (link.at === 'done') return undefined;
    const times = [
      this.opening?.until,
      this.up?.pulse.deadline(this.timing),
      link.at === 'down' ? link.retryAt : undefined,
      this.refresh?.opening?.until ?? this.refresh?.until,
      this.leaving?.answerBy ?? this.leaving?.until,
      speak.speechDeadline(this),
    ].filter((time) => time !== undefined);
    return times.length > 0 ? Math.min(...times) : undefined;
  }

  /**
   * Where a socket stands; `former` is one that was given up, and what it does changes nothing.
   *
   * @internal
   * @param {number} socket
   * @returns {'first' | 'second' | 'former'}
   */
  origin(socket) {
    if ((this.up ?? this.opening)?.socket === socket) return 'first';
    return this.refresh?.opening?.socket === socket ? 'second' : 'former';
  }

  /**
   * Whether no newer state is known: one message may overtake another. What is as new is the same
   * state told again, perhaps in answer to the user.
   *
   * @internal
   * @param {BroadcastState} state
   */
  isNewest({ lastStateChange }) {
    if (lastStateChange < this.stateChangedAt) return false;
    this.stateChangedAt = lastStateChange;
    return true;
  }

  /**
   * @internal
   * @template {Event['name']} Name
   * @param {Name} name
   * @param {Extract<Event, { name: Name }>['detail']} detail
   */
  deliver(name, detail) {
    this.effects.push({ type: 'deliver', event: /** @type {Event} */ ({ name, detail }) });
  }

  /**
   * @internal
   * @param {Up} up
   * @param {Record<string, unknown>} message
   */
  tell(up, message) {
    this.effects.push({ type: 'text', socket: up.socket, text: JSON.stringify(message) });
  }

  /**
   * The last thing a machine does.
   *
   * @internal
   * @param {Closed} closed
   */
  finish(closed) {
    if (this.isDone) return;
    if (this.up) this.effects.push({ type: 'close', socket: this.up.socket, code: NORMAL });
    for (const attempt of [this.opening, this.refresh?.opening]) {
      if (attempt) this.#dropAttempt(attempt, closed);
    }
    this.refresh = undefined;
    this.link = { at: 'done' };
    this.deliver('closed', closed);
  }

  /**
   * The server may have moved the member to a socket that has not said so yet: who leaves by wish
   * says it there too, or a speaker would be awaited.
   *
   * @param {Opening} attempt
   * @param {Closed} closed
   */
  #dropAttempt({ socket, framing }, { why }) {
    if (why === 'left' && framing) this.effects.push({ type: 'close', socket, code: NORMAL });
    else this.effects.push({ type: 'abort', socket });
  }
}

/**
 * @param {Machine} m
 * @param {Input} input
 */
function take(m, input) {
  switch (input.type) {
    case 'start':
      return connect.start(m);
    case 'opened':
      return connect.opened(m, input);
    case 'text':
      return receive.text(m, input.socket, input.text);
    case 'binary':
      return receive.binary(m, input.socket, input.bytes);
    case 'heard':
      return receive.heard(m, input.socket);
    case 'pong':
      return receive.ponged(m, input.socket);
    case 'written':
      return receive.written(m, input.socket, input.frames);
    case 'closed':
      return connect.closed(m, input.socket, input.code, input.reason);
    case 'failed':
      return connect.failed(m, input.socket, input.failure);
    case 'send':
      return speak.say(m, input.frame);
    case 'control':
      return speak.control(m, input.control, input.message);
    case 'status':
      return speak.askStatus(m);
    case 'end':
      return speak.end(m, input.reason);
    case 'changeLanguage':
      return hear.changeLanguage(m, input.target);
    case 'leave':
      return connect.leave(m);
    case 'wake':
      return connect.wake(m);
    case 'tick':
      return undefined;
  }
}
