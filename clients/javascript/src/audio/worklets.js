/** What runs in the browser's audio thread. Loaded by `audioWorklet.addModule`. */

import { Framer } from './resample.js';
import { Ring } from './ring.js';

const {
  AudioWorkletProcessor: Processor,
  registerProcessor,
  sampleRate,
} = /** @type {any} */ (globalThis);

/** How often the loudspeaker's side is reported, in blocks of 128 samples: about each 1/4 s. */
const REPORT_EVERY = 96;

class CaptureProcessor extends Processor {
  /** @param {{ processorOptions: { rate: number, length: number } }} options */
  constructor({ processorOptions: { rate, length } }) {
    super();
    this.framer = new Framer(sampleRate, rate, length);
  }

  /** @param {Float32Array[][]} inputs */
  process([channels]) {
    const [first, ...others] = channels ?? [];
    // While the microphone is away there is no input, and nothing to say.
    if (!first) return true;
    const mixed =
      others.length === 0
        ? first
        : first.map(
            (sample, at) =>
              others.reduce((sum, other) => sum + (other[at] ?? 0), sample) / (others.length + 1),
          );
    this.framer.push(mixed, (/** @type {Float32Array} */ frame) => {
      const copy = frame.slice();
      this.port.postMessage(copy, [copy.buffer]);
    });
    return true;
  }
}

class PlaybackProcessor extends Processor {
  constructor() {
    super();
    this.ring = new Ring(sampleRate);
    this.blocks = 0;
    this.port.onmessage = (/** @type {MessageEvent} */ { data }) => {
      if (data.samples) this.ring.write(data.samples, data.rate);
      else if (data.what === 'rest') this.ring.rest();
      else this.ring.flush();
    };
  }

  /**
   * @param {Float32Array[][]} _inputs
   * @param {Float32Array[][]} outputs
   */
  process(_inputs, [channels]) {
    const [first, ...others] = channels ?? [];
    if (!first) return true;
    this.ring.read(first);
    for (const other of others) other.set(first);
    this.blocks += 1;
    if (this.blocks % REPORT_EVERY === 0) {
      const { underruns, overruns, played, delay, target } = this.ring;
      this.port.postMessage({ underruns, overruns, played, delay, target });
    }
    return true;
  }
}

registerProcessor('ambo-capture', CaptureProcessor);
registerProcessor('ambo-playback', PlaybackProcessor);
