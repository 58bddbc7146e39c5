/** Heard audio that waits to be taken. */

/** @import { Timing } from './timing.js' */
/** @import { AudioFrame } from './wire.js' */

/**
 * Evens out how audio arrives and how it is taken. Whoever takes it too slowly loses the oldest,
 * and so stays near to what is being said. What a decoder must know is never lost.
 */
export class Jitter {
  /** @type {{ frame: AudioFrame, at: number }[]} */
  #line = [];

  /**
   * Adds a frame and tells how many had to go for it.
   *
   * @param {AudioFrame} frame
   * @param {number} now
   * @param {Timing} timing
   */
  push(frame, now, timing) {
    this.#line.push({ frame, at: now });
    let lost = 0;
    for (;;) {
      const oldest = this.#line.findIndex((entry) => entry.frame.kind === 'audio');
      const isStale = oldest >= 0 && (this.#line[oldest]?.at ?? now) < now - timing.bufferSpan;
      const isOver = this.#line.length > timing.bufferFrames;
      if (!isStale && !isOver) return lost;
      this.#line.splice(Math.max(0, oldest), 1);
      lost += 1;
    }
  }

  /** The oldest frame, if there is one. */
  take() {
    return this.#line.shift()?.frame;
  }
}
