/** From one rate to another, without tones that were not there (windowed sinc). */

/** Steps between two samples for which the curve is computed beforehand. */
const PHASES = 256;
/** Zero crossings on each side. */
const CROSSINGS = 8;

/** The curve that is laid over the samples to find what lies between them. */
export class Sinc {
  /**
   * @param {number} from Samples in a second.
   * @param {number} to
   */
  constructor(from, to) {
    // What the lower rate cannot carry must go.
    const cutoff = Math.min(1, to / from) * 0.95;
    /** How many samples on each side of a place are needed for it. */
    this.reach = Math.ceil(CROSSINGS / cutoff);
    const width = this.reach * 2;
    this.table = new Float32Array((PHASES + 1) * width);
    for (let phase = 0; phase <= PHASES; phase += 1) {
      const curve = this.table.subarray(phase * width, (phase + 1) * width);
      let sum = 0;
      for (let tap = 0; tap < width; tap += 1) {
        const distance = tap - this.reach + 1 - phase / PHASES;
        const angle = Math.PI * distance * cutoff;
        const window = 0.5 + 0.5 * Math.cos((Math.PI * distance) / this.reach);
        curve[tap] = (angle === 0 ? 1 : Math.sin(angle) / angle) * window;
        sum += curve[tap] ?? 0;
      }
      for (let tap = 0; tap < width; tap += 1) curve[tap] = (curve[tap] ?? 0) / sum;
    }
  }

  /**
   * The value at a place between samples.
   *
   * @param {Float32Array} ring Its length is a power of two.
   * @param {number} place
   */
  at(ring, place) {
    const whole = Math.floor(place);
    const mask = ring.length - 1;
    const width = this.reach * 2;
    const curve = Math.round((place - whole) * PHASES) * width;
    const first = whole - this.reach + 1;
    let sum = 0;
    for (let tap = 0; tap < width; tap += 1) {
      sum += (ring[(first + tap) & mask] ?? 0) * (this.table[curve + tap] ?? 0);
    }
    return sum;
  }
}

/** Turns a stream of samples into frames of another rate. */
export class Framer {
  #ring = new Float32Array(16_384);
  #written = 0;
  #place = 0;
  #filled = 0;

  /**
   * @param {number} from Samples in a second.
   * @param {number} to
   * @param {number} length Samples of a frame.
   */
  constructor(from, to, length) {
    this.step = from / to;
    this.sinc = new Sinc(from, to);
    this.frame = new Float32Array(length);
  }

  /**
   * Takes samples, and calls `done` with each frame that is full. The frame is used again.
   *
   * @param {Float32Array} samples
   * @param {(frame: Float32Array) => void} done
   */
  push(samples, done) {
    for (const sample of samples) {
      this.#ring[this.#written++ & (this.#ring.length - 1)] = sample;
    }
    while (this.#place + this.sinc.reach < this.#written) {
      this.frame[this.#filled++] = this.sinc.at(this.#ring, this.#place);
      this.#place += this.step;
      if (this.#filled === this.frame.length) {
        this.#filled = 0;
        done(this.frame);
      }
    }
  }
}
