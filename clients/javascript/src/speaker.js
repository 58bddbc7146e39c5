/** Who speaks. */

import { AmboError, Member } from './member.js';
import { MAX_AUDIO } from './wire.js';

/** @import { Status } from './event.js' */
/** @import { MemberOptions } from './member.js' */

/**
 * @typedef {object} SpeakerOwnOptions
 * @property {() => string | Promise<string>} token Gives the token. Asked again at each connect,
 *   so that one made hours later carries a fresh one.
 * @property {string} sourceLanguage What is spoken, such as `en`.
 * @property {'standard' | 'premium'} [qualityTier]
 * @property {string} [sessionId] A session of yours to take up, instead of making one.
 */

/** @typedef {MemberOptions & SpeakerOwnOptions} SpeakerOptions */

/** @typedef {ArrayBuffer | ArrayBufferView} Bytes */

/**
 * Makes a session, or takes one up, and speaks in it.
 *
 * Frames are numbered here. While there is no connection they wait, for 30 s at most, and after
 * one those are sent again that the server has not heard. Once `closed` was told, what is said
 * goes nowhere, as with a `WebSocket`.
 */
export class Speaker extends Member {
  /** The latest capture time given out: it must not go back when the clock does. */
  #captured = 0;

  /** @param {SpeakerOptions} options */
  constructor(options) {
    const { sourceLanguage, qualityTier, sessionId } = options;
    super({ kind: 'speaker', sourceLanguage, qualityTier, sessionId }, options);
  }

  /**
   * Says one frame of 1 byte to 32 KiB, in the codec that was announced with {@link configure}.
   *
   * @param {Bytes} payload Copied, so that it can be used again.
   * @param {object} [about]
   * @param {number} [about.capturedMicros] When it was captured, in microseconds since the epoch;
   *   now, if it is not said.
   */
  send(payload, { capturedMicros = this.#now() } = {}) {
    this.#say('audio', payload, capturedMicros);
  }

  /**
   * Announces the codec of the frames that follow. The server tells it to every newcomer.
   *
   * @param {Bytes | string | object} configuration An object is sent as JSON.
   */
  configure(configuration) {
    const isBytes = configuration instanceof ArrayBuffer || ArrayBuffer.isView(configuration);
    const text = typeof configuration === 'string' ? configuration : JSON.stringify(configuration);
    const payload = isBytes ? configuration : new TextEncoder().encode(text);
    this.#say('configuration', payload, this.#now());
  }

  /**
   * Stops the audio; the listeners are told, and shown `message`. What is sent meanwhile is not
   * kept.
   *
   * @param {string} [message]
   */
  pause(message) {
    this.input({ type: 'control', control: 'pause', message });
  }

  /** @param {string} [message] */
  resume(message) {
    this.input({ type: 'control', control: 'resume', message });
  }

  /** @param {string} [message] */
  mute(message) {
    this.input({ type: 'control', control: 'mute', message });
  }

  /** @param {string} [message] */
  unmute(message) {
    this.input({ type: 'control', control: 'unmute', message });
  }

  /**
   * Asks who listens. Without a connection, the answer comes when there is one again.
   *
   * @returns {Promise<Status>}
   */
  status() {
    /** @type {Promise<Status>} */
    const status = new Promise((resolve, reject) => {
      this.once('status', resolve);
      this.closed.then((closed) => reject(new AmboError(closed)));
    });
    status.catch(() => {});
    this.input({ type: 'status' });
    return status;
  }

  /**
   * Says what is still to be said, then ends the session for all.
   *
   * @param {string} [reason] For the listeners, at most 280 characters.
   */
  end(reason) {
    this.input({ type: 'end', reason });
    return this.closed;
  }

  #now() {
    this.#captured = Math.max(this.#captured, Date.now() * 1_000);
    return this.#captured;
  }

  /**
   * @param {'audio' | 'configuration'} kind
   * @param {Bytes} bytes
   * @param {number} capturedMicros
   */
  #say(kind, bytes, capturedMicros) {
    const { byteLength } = bytes;
    if (!(byteLength >= 1 && byteLength <= MAX_AUDIO)) {
      throw new RangeError(`A frame has 1 to ${MAX_AUDIO} bytes, not ${byteLength}.`);
    }
    const payload = ArrayBuffer.isView(bytes)
      ? new Uint8Array(bytes.buffer, bytes.byteOffset, byteLength).slice()
      : new Uint8Array(bytes).slice();
    this.input({ type: 'send', frame: { kind, capturedMicros, payload } });
  }
}
