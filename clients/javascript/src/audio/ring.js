/** What waits to be played. */

import { Sinc } from './resample.js';

/**
 * Limits in seconds. The delay aimed at grows when the sound runs out and shrinks when it has not
 * for a while.
 */
const FIRST_DELAY = 0.12;
const LEAST_DELAY = 0.06;
const MOST_DELAY = 1.5;
/** Sound beyond the delay aimed at; more is skipped, so that nobody lags behind for ever. */
const MOST_EXTRA = 1;
/** So long without running out makes the delay a little shorter. */
const CALM = 10;
const SHORTER = 0.01;
const LONGER = 1.5;
/** How much faster or slower it plays to keep the delay: nobody hears this. */
const MOST_BEND = 0.005;

/**
 * A ring of samples between a network that is uneven and a loudspeaker that is not. It plays at
 * any rate, and bends it a little so that the delay stays what it aims at.
 */
export class Ring {
  // 5.4 s at 48 kHz: the delay, the extra, and a frame of any size on top.
  #ring = new Float32Array(2 ** 18);
  #written = 0;
  #place = 0;
  #rate = 0;
  #sinc = new Sinc(1, 1);
  #isFilling = true;
  #isResting = true;
  #calm = 0;
  /** The delay aimed at, in seconds. */
  target = FIRST_DELAY;
  /** How often the sound ran out, and how often too much of it was there. */
  underruns = 0;
  overruns = 0;
  /** Samples played. */
  played = 0;

  /** @param {number} outputRate Samples in a second at the loudspeaker. */
  constructor(outputRate) {
    this.outputRate = outputRate;
  }

  /** Seconds that wait. */
  get delay() {
    return this.#rate > 0 ? Math.max(0, this.#written - this.#place) / this.#rate : 0;
  }

  /**
   * @param {Float32Array} samples
   * @param {number} rate
   */
  write(samples, rate) {
    if (rate !== this.#rate) {
      this.#rate = rate;
      this.#sinc = new Sinc(rate, this.outputRate);
      this.flush();
    }
    this.#isResting = false;
    for (const sample of samples) {
      this.#ring[this.#written++ & (this.#ring.length - 1)] = sample;
    }
    if (this.delay > this.target + MOST_EXTRA) {
      this.overruns += 1;
      this.#place = this.#written - this.target * rate;
    }
  }

  /**
   * Fills a block for the loudspeaker.
   *
   * @param {Float32Array} block
   */
  read(block) {
    if (this.#isFilling && this.delay >= this.target) this.#isFilling = false;
    if (this.#isFilling) return void block.fill(0);
    const bend = ((this.delay - this.target) / this.target) * MOST_BEND;
    const step =
      (this.#rate / this.outputRate) * (1 + Math.max(-MOST_BEND, Math.min(MOST_BEND, bend)));
    for (let at = 0; at < block.length; at += 1) {
      if (this.#place + this.#sinc.reach >= this.#written) return this.#runOut(block, at);
      block[at] = this.#sinc.at(this.#ring, this.#place);
      this.#place += step;
    }
    this.played += block.length;
    this.#calm += block.length / this.outputRate;
    if (this.#calm < CALM) return undefined;
    this.#calm = 0;
    this.target = Math.max(LEAST_DELAY, this.target - SHORTER);
    return undefined;
  }

  /** The speaker pauses: that the sound runs out is nobody's fault. */
  rest() {
    this.#isResting = true;
  }

  /** Forgets what waits. */
  flush() {
    this.#ring.fill(0);
    this.#place = this.#written;
    this.#isFilling = true;
  }

  /**
   * @param {Float32Array} block
   * @param {number} at
   */
  #runOut(block, at) {
    block.fill(0, at);
    this.played += at;
    this.#isFilling = true;
    if (this.#isResting) return;
    this.underruns += 1;
    this.#calm = 0;
    this.target = Math.min(MOST_DELAY, this.target * LONGER);
  }
}
