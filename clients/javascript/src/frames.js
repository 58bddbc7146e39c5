/** The speaker's frames: numbered when they go out, kept until they have surely arrived. */

/** @import { Timing } from './timing.js' */
/** @import { AudioFrame, Kind } from './wire.js' */

/**
 * A frame before it has a number.
 *
 * @typedef {object} Frame
 * @property {Kind} kind
 * @property {number} capturedMicros When it was captured, in microseconds since the epoch.
 * @property {Uint8Array} payload 1 byte to 32 KiB.
 */

/** @typedef {{ frame: Frame, queuedAt: number, sentAt: number, sequence?: number }} Entry */

/** A server that is killed may have heard frames that no listener did. */
const KEPT_AFTER_ARRIVAL = 2_000;

/**
 * One line of frames: first those that went out and may have been lost, then those that wait.
 *
 * A frame gets its number when it first goes out, so that what is dropped from the line leaves no
 * hole that listeners would notice.
 */
export class Frames {
  /** @type {Entry[]} */
  #line = [];
  /** How many of the line have gone out on the present connection. */
  #sent = 0;
  #bytes = 0;
  #next = 1;
  /** @type {Entry | undefined} The last configuration, for a server that has forgotten it. */
  #configuration;
  // How fast frames may go, so that catching up does not break the server's limit.
  #tokens = 0;
  #filledAt = 0;

  /** Whether everything has gone out. */
  get isDrained() {
    return this.#sent === this.#line.length;
  }

  /** Bytes kept. */
  get bytes() {
    return this.#bytes;
  }

  /**
   * Adds a frame and tells how many had to go for it.
   *
   * @param {Frame} frame
   * @param {number} now
   * @param {Timing} timing
   */
  push(frame, now, timing) {
    this.#bytes += frame.payload.length;
    this.#line.push({ frame, queuedAt: now, sentAt: 0 });
    return this.trim(now, timing);
  }

  /**
   * The next frame to go out, if the server's limit allows one.
   *
   * @param {number} now
   * @param {string} language
   * @param {Timing} timing
   * @returns {AudioFrame | undefined}
   */
  next(now, language, timing) {
    const entry = this.#line[this.#sent];
    if (!entry || !this.#takeToken(now, timing)) return undefined;
    entry.sequence ??= this.#next++;
    entry.sentAt = now;
    if (entry.frame.kind === 'configuration') this.#configuration = entry;
    this.#sent += 1;
    return { ...entry.frame, language, sequence: entry.sequence };
  }

  /**
   * Goes back to what the server has not heard: all above `last`, or all that is kept when it has
   * heard nothing. Tells how many frames go out again.
   *
   * @param {number | undefined} last
   * @param {number} now
   * @param {Timing} timing
   */
  rewind(last, now, timing) {
    this.#tokens = timing.framesAtOnce;
    this.#filledAt = now;
    if (last !== undefined) this.#next = Math.max(this.#next, last + 1);
    /** @param {Entry} entry */
    const isUnheard = ({ sequence }) =>
      sequence === undefined || last === undefined || sequence > last;
    const unheard = this.#line.findIndex(isUnheard);
    this.#sent = unheard < 0 ? this.#line.length : unheard;
    // What was heard a moment ago may yet be lost with the server.
    this.confirm(now);
    // The configuration may be older than all that is kept; its number is lower then, and right.
    const configuration = this.#configuration;
    if (configuration && isUnheard(configuration) && !this.#line.includes(configuration)) {
      this.#bytes += configuration.frame.payload.length;
      this.#line.splice(this.#sent, 0, configuration);
    }
    const waiting = this.#line.slice(this.#sent);
    return waiting.filter((entry) => entry.sequence !== undefined).length;
  }

  /**
   * What went out before then has arrived.
   *
   * @param {number} before
   */
  confirm(before) {
    const isOld = () => {
      const first = this.#line[0];
      return first && first.sentAt < before - KEPT_AFTER_ARRIVAL;
    };
    while (this.#sent > 0 && isOld()) this.#pop(0);
  }

  /** Lets go of the audio that waits, because the broadcast is paused, and tells how much. */
  forgetWaiting() {
    const before = this.#line.length;
    const isKept = (/** @type {Entry} */ entry, /** @type {number} */ at) =>
      at < this.#sent || entry.frame.kind === 'configuration';
    this.#line = this.#line.filter(isKept);
    this.#bytes = this.#line.reduce((sum, entry) => sum + entry.frame.payload.length, 0);
    return before - this.#line.length;
  }

  /**
   * When the next frame may go out, if one waits.
   *
   * @param {Timing} timing
   */
  deadline(timing) {
    if (this.isDrained) return undefined;
    return this.#filledAt + (Math.max(0, 1 - this.#tokens) * 1_000) / timing.framesPerSecond;
  }

  /**
   * Lets go of what is too old or too much, and tells how many frames will never go out.
   *
   * @param {number} now
   * @param {Timing} timing
   */
  trim(now, timing) {
    /** @param {Entry | undefined} entry */
    const isStale = (entry) => !!entry && now > entry.queuedAt + timing.queueSpan;
    for (let lost = 0; ;) {
      const isOver = this.#bytes > timing.queueBytes || this.#line.length > timing.queueFrames;
      if (!isOver && !isStale(this.#line[0])) return lost;
      if (this.#sent > 0) {
        this.#pop(0);
        continue;
      }
      // Without its configuration a decoder is lost, so other frames go first.
      const audio = this.#line.findIndex((entry) => entry.frame.kind === 'audio');
      if (audio >= 0 && (isOver || isStale(this.#line[audio]))) {
        this.#pop(audio);
        lost += 1;
      } else if (audio < 0 && isOver) {
        this.#pop(0);
      } else {
        return lost;
      }
    }
  }

  /** @param {number} at */
  #pop(at) {
    const [entry] = this.#line.splice(at, 1);
    if (!entry) return;
    this.#bytes -= entry.frame.payload.length;
    if (at < this.#sent) this.#sent -= 1;
  }

  /**
   * @param {number} now
   * @param {Timing} timing
   */
  #takeToken(now, timing) {
    const earned = ((now - this.#filledAt) / 1_000) * timing.framesPerSecond;
    this.#tokens = Math.min(timing.framesAtOnce, this.#tokens + earned);
    this.#filledAt = now;
    // A hair below one is one: fractions of milliseconds do not add up exactly.
    if (this.#tokens < 1 - 1e-6) return false;
    this.#tokens -= 1;
    return true;
  }
}
