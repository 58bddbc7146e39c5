/** What a listener has heard: duplicates are removed, gaps are told. */

/** @import { AudioFrame } from './wire.js' */

/** The place a listener has reached. */
export class Order {
  /** @type {{ language: string, sequence: number } | undefined} */
  #last;
  /** The latest capture time heard. */
  #captured = 0;
  /** @type {AudioFrame | undefined} */
  #configuration;

  /** What to ask the server to go on after. */
  get lastSequence() {
    return this.#last?.sequence;
  }

  /**
   * Takes a frame and tells how many are missing before it; -1 says that it was heard already.
   *
   * @param {AudioFrame} frame
   */
  take(frame) {
    const last = this.#last?.language === frame.language ? this.#last.sequence : undefined;
    return frame.kind === 'audio' ? this.#hear(frame, last) : this.#configure(frame, last);
  }

  /**
   * @param {AudioFrame} frame
   * @param {number | undefined} last
   */
  #hear(frame, last) {
    const isHeard = last !== undefined && frame.sequence <= last;
    // A speaker that starts anew counts anew. Its frames are later than all that was heard; one
    // that is sent again is not.
    if (isHeard && frame.capturedMicros <= this.#captured) return -1;
    this.#captured = Math.max(this.#captured, frame.capturedMicros);
    this.#last = { language: frame.language, sequence: frame.sequence };
    return last === undefined || isHeard ? 0 : frame.sequence - last - 1;
  }

  /**
   * A newcomer gets the configuration with the number it once had: that is no gap.
   *
   * @param {AudioFrame} frame
   * @param {number | undefined} last
   */
  #configure(frame, last) {
    if (last !== undefined && frame.sequence === last + 1) {
      this.#last = { language: frame.language, sequence: frame.sequence };
    }
    const known = this.#configuration;
    if (known?.sequence === frame.sequence && isSame(known.payload, frame.payload)) return -1;
    this.#configuration = frame;
    return 0;
  }
}

/**
 * @param {Uint8Array} a
 * @param {Uint8Array} b
 */
function isSame(a, b) {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}
