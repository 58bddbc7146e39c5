/** What a speaker and a listener have in common. */

import { Machine } from './machine.js';
import { Shell } from './socket.js';

/** @import { Closed, Event, Events } from './event.js' */
/** @import { Failure } from './failure.js' */
/** @import { Input } from './input.js' */
/** @import { Role } from './machine.js' */
/** @import { Timing } from './timing.js' */

/**
 * @typedef {object} MemberOptions
 * @property {string} url The server, such as `wss://ambo.example.org/ws`.
 * @property {AbortSignal} [signal] Leaves when it aborts. For a speaker this ends the session.
 * @property {new (url: string, protocols: string[]) => any} [WebSocket] Where there is no
 *   global one, as in Node before 22: the one of the package `ws`. With it the client can also
 *   ping, and read the status of refused handshakes.
 * @property {Partial<Timing>} [timing] Other limits than the default ones, in milliseconds.
 */

/** Why there is no connection, as an error. */
export class AmboError extends Error {
  /** @param {Closed} closed */
  constructor(closed) {
    super(closed.message);
    this.name = 'AmboError';
    /** Why the client is done. */
    this.closed = closed;
    /** @type {Failure | undefined} */
    this.failure = closed.failure;
    /** @type {string | undefined} The server's code, if it refused. */
    this.code = closed.failure?.error?.code;
  }
}

/** One member of one session. */
export class Member {
  /** @type {Machine} */
  #machine;
  #shell;
  #signal;
  /** @type {Map<string, Set<(detail: any) => void>>} */
  #listeners = new Map();
  /** @type {Promise<void> | undefined} */
  #connected;
  /**
   * Resolves when the client is done, and says why. It never rejects.
   *
   * @type {Promise<Closed>}
   */
  closed;

  /**
   * @param {Role} role
   * @param {MemberOptions & { token?: () => string | Promise<string> }} options
   */
  constructor(role, options) {
    const Socket = options.WebSocket ?? globalThis.WebSocket;
    if (!Socket) {
      throw new TypeError('There is no WebSocket here: pass one, such as that of the package ws.');
    }
    // Tells a wrong address at once, to whoever gave it.
    const { href: url } = new URL(options.url);
    this.#machine = new Machine(role, options.timing);
    this.#signal = options.signal;
    const deliver = (/** @type {Event} */ event) => this.deliver(event);
    const { token } = options;
    this.#shell = new Shell(this.#machine, { url, token, WebSocket: Socket, deliver });
    this.closed = new Promise((resolve) => this.on('closed', resolve));
  }

  /** The session, once it is known. */
  get sessionId() {
    return this.#machine.session;
  }

  /**
   * Connects. Resolves when the server has answered; rejects with an {@link AmboError} when it
   * refuses or cannot be reached. Later losses are mended by themselves and told as events.
   *
   * @returns {Promise<void>}
   */
  connect() {
    this.#connected ??= this.#connect();
    // Whoever does not wait for it hears of it by `closed`.
    this.#connected.catch(() => {});
    return this.#connected;
  }

  async #connect() {
    const leave = () => this.leave();
    if (this.#signal?.aborted) this.leave();
    this.#signal?.throwIfAborted();
    this.#signal?.addEventListener('abort', leave, { once: true });
    this.closed.then(() => this.#signal?.removeEventListener('abort', leave));
    /** @type {Promise<void>} */
    const connected = new Promise((resolve, reject) => {
      this.once('sessionCreated', () => resolve());
      this.once('sessionTaken', () => resolve());
      this.once('sessionJoined', () => resolve());
      this.closed.then((closed) => reject(this.#signal?.reason ?? new AmboError(closed)));
    });
    this.#shell.start();
    return connected;
  }

  /**
   * Calls `listener` at each event of this name, until the function that is returned is called.
   * What a listener throws is told as `error`, with the code `LISTENER_FAILED`.
   *
   * @template {keyof Events} Name
   * @param {Name} name
   * @param {(detail: Events[Name]) => void} listener
   * @returns {() => void}
   */
  on(name, listener) {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener));
    return () => void listeners.delete(listener);
  }

  /**
   * The same, for the next event only.
   *
   * @template {keyof Events} Name
   * @param {Name} name
   * @param {(detail: Events[Name]) => void} listener
   * @returns {() => void}
   */
  once(name, listener) {
    const off = this.on(name, (detail) => {
      off();
      listener(detail);
    });
    return off;
  }

  /** Goes at once. For a speaker this ends the session. */
  leave() {
    this.input({ type: 'leave' });
    return this.closed;
  }

  /**
   * @internal
   * @param {Input} input
   */
  input(input) {
    this.#shell.input(input);
  }

  /** @internal */
  get timing() {
    return this.#machine.timing;
  }

  /**
   * @internal
   * @param {Event} event
   */
  deliver({ name, detail }) {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        listener(detail);
      } catch (thrown) {
        this.#failed(name, thrown);
      }
    }
  }

  /**
   * @param {string} event
   * @param {unknown} thrown
   */
  #failed(event, thrown) {
    if (event === 'error') return console.error(thrown);
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    const detail = { code: 'LISTENER_FAILED', message, details: { event, thrown } };
    return this.deliver({ name: 'error', detail });
  }
}
