/** The shell round the machine: sockets, timers, and the browser's word on the network. */

import { refused, unreachable } from './failure.js';
import { connectUrl, SUBPROTOCOL } from './wire.js';

/** @import { Effect } from './effect.js' */
/** @import { Event } from './event.js' */
/** @import { Failure } from './failure.js' */
/** @import { Input } from './input.js' */
/** @import { Machine } from './machine.js' */

/**
 * What the shell needs of the outside.
 *
 * @typedef {object} Outside
 * @property {string} url
 * @property {() => string | Promise<string>} [token]
 * @property {new (url: string, protocols: string[]) => AnySocket} WebSocket
 * @property {(event: Event) => void} deliver
 */

/**
 * The socket of the `ws` package can do more than a browser's.
 *
 * @typedef {WebSocket & { ping?: () => void, terminate?: () => void,
 *   on?: (name: string, told: (...args: any[]) => void) => void }} AnySocket
 */

/** @typedef {{ ws?: AnySocket, isOpen: boolean, unwritten: number[] }} Socket */

/** Not 1000 or 1001, with which a speaker ends its session. */
const ABANDONED = 4000;
const SUSPENDED = 4001;

/** The longest that a timer can wait. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** How often a stalled socket is asked whether it has written. */
const WRITTEN_EVERY = 50;

/** Runs one machine. */
export class Shell {
  #machine;
  #outside;
  /** @type {Map<number, Socket>} */
  #sockets = new Map();
  /** @type {Input[]} */
  #inputs = [];
  #isBusy = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #timerAt = Infinity;
  #unwatch = () => {};

  /**
   * @param {Machine} machine
   * @param {Outside} outside
   */
  constructor(machine, outside) {
    this.#machine = machine;
    this.#outside = outside;
  }

  start() {
    this.#unwatch = watchNetwork(
      () => this.input({ type: 'wake' }),
      () => this.#suspend(),
    );
    this.input({ type: 'start' });
  }

  /**
   * Tells the machine, and does what it says. What happens meanwhile waits its turn.
   *
   * @param {Input} input
   */
  input(input) {
    this.#inputs.push(input);
    if (this.#isBusy) return;
    this.#isBusy = true;
    try {
      for (let next = this.#inputs.shift(); next; next = this.#inputs.shift()) {
        const effects = this.#machine.handle(next, performance.now(), Math.random);
        for (const effect of effects) this.#perform(effect);
        this.#settle();
      }
    } finally {
      this.#isBusy = false;
    }
    this.#schedule();
  }

  /** @param {Effect} effect */
  #perform(effect) {
    if (effect.type === 'deliver') return this.#outside.deliver(effect.event);
    if (effect.type === 'open') return void this.#open(effect);
    const { socket: id } = effect;
    const socket = this.#sockets.get(id);
    switch (effect.type) {
      case 'text':
        return socket?.ws?.send(effect.text);
      case 'audio':
        return this.#sendAudio(socket, effect.data);
      case 'ping':
        return socket?.ws?.ping?.();
      case 'close':
        this.#sockets.delete(id);
        return socket?.ws?.close(effect.code);
      case 'abort':
        this.#sockets.delete(id);
        return socket?.ws && abandon(socket.ws);
    }
  }

  /** @param {Extract<Effect, { type: 'open' }>} effect */
  async #open({ socket: id, query, wantsToken }) {
    /** @type {Socket} */
    const socket = { isOpen: false, unwritten: [] };
    this.#sockets.set(id, socket);
    let token;
    try {
      token = wantsToken ? await this.#outside.token?.() : undefined;
    } catch (error) {
      const message = `there is no token: ${error instanceof Error ? error.message : error}`;
      return this.#failed(id, { kind: 'noToken', message });
    }
    if (this.#sockets.get(id) !== socket) return;
    try {
      const url = connectUrl(this.#outside.url, { ...query, token });
      socket.ws = new this.#outside.WebSocket(url, [SUBPROTOCOL]);
    } catch (error) {
      return this.#failed(id, unreachable(String(error)));
    }
    this.#listen(id, socket, socket.ws);
  }

  /**
   * @param {number} id
   * @param {Socket} socket
   * @param {AnySocket} ws
   */
  #listen(id, socket, ws) {
    ws.binaryType = 'arraybuffer';
    const isMine = () => this.#sockets.get(id) === socket;
    const tell = (/** @type {Input} */ input) => isMine() && this.input(input);
    ws.addEventListener('open', () => {
      socket.isOpen = true;
      const framing = ws.protocol === SUBPROTOCOL ? 'binary' : 'json';
      tell({ type: 'opened', socket: id, framing, canPing: !!ws.ping && !!ws.on });
    });
    ws.addEventListener('message', ({ data }) => {
      if (typeof data === 'string') tell({ type: 'text', socket: id, text: data });
      else tell({ type: 'binary', socket: id, bytes: data });
    });
    ws.addEventListener('close', ({ code, reason }) => {
      tell({ type: 'closed', socket: id, code, reason });
      this.#sockets.delete(id);
    });
    ws.addEventListener('error', (event) => {
      const { message } = /** @type {ErrorEvent} */ (event);
      if (isMine() && !socket.isOpen) this.#failed(id, unreachable(message || 'nobody answers'));
    });
    ws.on?.('ping', () => tell({ type: 'heard', socket: id }));
    ws.on?.('pong', () => tell({ type: 'pong', socket: id }));
    ws.on?.('unexpected-response', (request, response) => {
      if (isMine()) this.#failed(id, refusalOf(response));
      request.destroy();
    });
  }

  /**
   * @param {number} id
   * @param {Failure} failure
   */
  #failed(id, failure) {
    if (this.#sockets.delete(id)) this.input({ type: 'failed', socket: id, failure });
  }

  /**
   * @param {Socket | undefined} socket
   * @param {string | Uint8Array<ArrayBuffer>} data
   */
  #sendAudio(socket, data) {
    if (!socket?.ws) return;
    socket.ws.send(data);
    socket.unwritten.push(data.length);
  }

  /** Reports the frames that have left for the network; sockets do not tell by themselves. */
  #settle() {
    for (const [id, { ws, unwritten }] of this.#sockets) {
      let waiting = unwritten.reduce((sum, size) => sum + size, 0);
      let frames = 0;
      while (waiting > (ws?.bufferedAmount ?? 0)) {
        waiting -= unwritten.shift() ?? waiting;
        frames += 1;
      }
      if (frames > 0) this.#inputs.push({ type: 'written', socket: id, frames });
    }
  }

  #schedule() {
    if (this.#machine.isDone) {
      clearTimeout(this.#timer);
      this.#unwatch();
      return;
    }
    const isStalled = [...this.#sockets.values()].some(({ unwritten }) => unwritten.length > 0);
    const poll = isStalled ? performance.now() + WRITTEN_EVERY : Infinity;
    const at = Math.min(this.#machine.deadline ?? Infinity, poll);
    // A timer that fires too early does no harm, so it is not set anew for each frame.
    if (at === Infinity || at >= this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    this.#timer = setTimeout(
      () => {
        this.#timerAt = Infinity;
        this.input({ type: 'tick' });
      },
      Math.min(LONGEST_TIMER, Math.max(0, Math.ceil(at - performance.now()))),
    );
  }

  /** The browser closes the sockets of a page it puts aside; a speaker's session shall live. */
  #suspend() {
    for (const { ws } of this.#sockets.values()) ws?.close(SUSPENDED, 'suspended');
  }
}

/** @param {AnySocket} ws */
function abandon(ws) {
  if (ws.terminate) ws.terminate();
  else ws.close(ABANDONED, 'abandoned');
}

/**
 * A refusal by HTTP status, as a proxy in front of the server gives it.
 *
 * @param {{ statusCode: number, headers: Record<string, string | undefined> }} response
 * @returns {Failure}
 */
function refusalOf({ statusCode: status, headers }) {
  const asked = headers['retry-after'] ?? '';
  const seconds = /^\d+$/.test(asked) ? Number(asked) : (Date.parse(asked) - Date.now()) / 1_000;
  const message = `the server answered with HTTP status ${status}`;
  const failure = refused({ code: `HTTP_${status}`, message });
  return { ...failure, status, retryAfter: seconds > 0 ? seconds * 1_000 : undefined };
}

/**
 * Tells when the network may be back and when the page is put aside. Returns how to stop.
 *
 * @param {() => void} wake
 * @param {() => void} suspend
 */
function watchNetwork(wake, suspend) {
  if (typeof globalThis.addEventListener !== 'function') return () => {};
  const seen = () => document.visibilityState === 'visible' && wake();
  const gone = (/** @type {PageTransitionEvent} */ event) => event.persisted && suspend();
  /** @type {[EventTarget | undefined, string, (event: any) => void][]} */
  const watched = [
    [globalThis, 'online', wake],
    [globalThis, 'pageshow', wake],
    [globalThis, 'pagehide', gone],
    [globalThis.document, 'visibilitychange', seen],
  ];
  for (const [target, name, told] of watched) target?.addEventListener(name, told);
  return () => watched.forEach(([target, name, told]) => target?.removeEventListener(name, told));
}
