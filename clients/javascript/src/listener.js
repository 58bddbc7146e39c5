/** Who listens. */

import { Jitter } from './jitter.js';
import { AmboError, Member } from './member.js';

/** @import { Closed, Event } from './event.js' */
/** @import { MemberOptions } from './member.js' */
/** @import { AudioFrame } from './wire.js' */

/**
 * @typedef {object} ListenerOwnOptions
 * @property {string} sessionId As the speaker has said it; it is trimmed and made lower case.
 * @property {string} targetLanguage What to hear, such as `es`.
 */

/** @typedef {MemberOptions & ListenerOwnOptions} ListenerOptions */

/**
 * Joins a session and hears it: by the events `audio` and `configuration`, or by
 * `for await (const frame of listener)`, which gives both in order. Each frame comes once.

 */
export class Listener extends Member {
  #jitter = new Jitter();
  #isIterated = false;
  /** @type {Closed | undefined} */
  #done;
  #arrived = () => {};

  /** @param {ListenerOptions} options */
  constructor(options) {
    const sessionId = options.sessionId.trim().toLowerCase();
    super({ kind: 'listener', sessionId, targetLanguage: options.targetLanguage }, options);
  }

  /**
   * Hears another language from now on; `languageChanged` tells when it is so.
   *
   * @param {string} targetLanguage
   */
  changeLanguage(targetLanguage) {
    this.input({ type: 'changeLanguage', target: targetLanguage });
  }

  /**
   * The frames, from the first one on if it is begun in time. A frame that is not taken within
   * 5 s makes room for newer ones, which `dropped` tells. Ends with the session, or throws an
   * {@link AmboError} when the connection cannot come back.
   *
   * @returns {AsyncGenerator<AudioFrame, void, void>}
   */
  async *[Symbol.asyncIterator]() {
    this.#isIterated = true;
    for (;;) {
      const frame = this.#jitter.take();
      if (frame) {
        yield frame;
      } else if (this.#done) {
        if (this.#done.failure || this.#done.reason) throw new AmboError(this.#done);
        return;
      } else {
        await new Promise((resolve) => (this.#arrived = () => resolve(undefined)));
      }
    }
  }

  /**
   * @internal
   * @override
   * @param {Event} event
   */
  deliver(event) {
    super.deliver(event);
    if (event.name === 'closed') this.#done = event.detail;
    if (event.name === 'audio' || event.name === 'configuration') {
      const frames = this.#jitter.push(event.detail, performance.now(), this.timing);
      // Who hears by events misses nothing.
      if (frames > 0 && this.#isIterated) super.deliver({ name: 'dropped', detail: { frames } });
    }
    this.#arrived();
  }
}
