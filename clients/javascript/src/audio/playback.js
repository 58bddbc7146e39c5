/** From frames to the loudspeaker. */

import { Context } from './context.js';
import { formatOf, pcmToFloats } from './format.js';

/** @import { Listener } from '../listener.js' */
/** @import { AudioFrame } from '../wire.js' */
/** @import { Sounding } from './context.js' */
/** @import { Format } from './format.js' */

/** A decoder that fails is opened anew when it is so old, in ms. */
const RENEW_AFTER = 1_000;

/**
 * How it goes: how often the sound ran out and how often too much of it was there, samples played,
 * seconds that wait, and the delay that is aimed at.
 *
 * @typedef {{ underruns: number, overruns: number, played: number, delay: number, target: number
 * }} PlaybackReport
 */

/**
 * @typedef {object} PlaybackOptions
 * @property {(sounding: Sounding) => void} [onChange] The sound is locked until a tap, running, or
 *   interrupted.
 * @property {(error: Error) => void} [onError] The codec is unknown here, or the decoder failed.
 */

/**
 * One output for as long as the page lives: it survives changes of the language and of the
 * session. Make it early, and show the user where to tap while `sounding` is `locked`.
 */
export class Playback {
  /** @type {Context} */
  #context;
  #onError;
  /** @type {AudioWorkletNode | undefined} */
  #node;
  /** @type {Format | undefined} */
  #format;
  /** @type {AudioDecoder | undefined} */
  #decoder;
  #decoderAt = 0;
  #detach = () => {};
  /** @type {PlaybackReport} */
  report = { underruns: 0, overruns: 0, played: 0, delay: 0, target: 0 };
  /** The last node before the loudspeaker: set its `gain`, or listen in. */
  output;

  /** @param {PlaybackOptions} [options] */
  static async open(options = {}) {
    const playback = new Playback(options);
    await playback.#context.load();
    playback.#connect();
    return playback;
  }

  /**
   * @private
   * @param {PlaybackOptions} options
   */
  constructor({ onChange, onError = () => {} }) {
    this.#context = new Context(onChange);
    this.#onError = onError;
    this.output = this.#context.audio.createGain();
    this.output.connect(this.#context.audio.destination);
  }

  #connect() {
    this.#node = new AudioWorkletNode(this.#context.audio, 'ambo-playback', {
      numberOfInputs: 0,
      outputChannelCount: [1],
    });
    this.#node.port.onmessage = ({ data }) => (this.report = data);
    this.#node.connect(this.output);
  }

  /** Whether it can be heard. */
  get sounding() {
    return this.#context.sounding;
  }

  /** Call it in a tap if your page stops taps from reaching the document. */
  unlock() {
    return this.#context.resume();
  }

  /**
   * Plays what this listener hears from now on, instead of another.
   *
   * @param {Listener} listener
   */
  attach(listener) {
    this.#detach();
    const rest = () => this.#node?.port.postMessage({ what: 'rest' });
    const offs = [
      listener.on('configuration', (frame) => this.play(frame)),
      listener.on('audio', (frame) => this.play(frame)),
      listener.on('paused', rest),
      listener.on('muted', rest),
      listener.on('ended', rest),
    ];
    this.#detach = () => offs.forEach((off) => off());
  }

  /**
   * Plays one frame.
   *
   * @param {AudioFrame} frame
   */
  play({ kind, payload, capturedMicros }) {
    if (kind === 'configuration') return this.#configure(payload);
    const format = this.#format;
    if (format?.codec === 'pcm_s16le') {
      this.#write(pcmToFloats(payload, format.channels), format.rate);
      return undefined;
    }
    this.#renewDecoder();
    if (this.#decoder?.state === 'configured') {
      const chunk = {
        type: /** @type {const} */ ('key'),
        timestamp: capturedMicros,
        data: payload,
      };
      this.#decoder.decode(new EncodedAudioChunk(/** @type {EncodedAudioChunkInit} */ (chunk)));
    }
    return undefined;
  }

  /** Forgets what waits to be played. */
  flush() {
    this.#node?.port.postMessage({ what: 'flush' });
  }

  async close() {
    this.#detach();
    this.#closeDecoder();
    await this.#context.close();
  }

  /** @param {Uint8Array} payload */
  #configure(payload) {
    this.#closeDecoder();
    this.#format = formatOf(payload);
    if (!this.#format) return this.#onError(new Error('This codec is not known here.'));
    if (this.#format.codec !== 'opus') return undefined;
    if (typeof AudioDecoder === 'undefined') {
      return this.#onError(new Error('This browser cannot decode Opus.'));
    }
    return this.#openDecoder(this.#format);
  }

  /** @param {Extract<Format, { codec: 'opus' }>} format */
  #openDecoder({ rate: sampleRate, channels: numberOfChannels, head }) {
    this.#decoder = new AudioDecoder({
      output: (data) => this.#decoded(data),
      error: this.#onError,
    });
    this.#decoderAt = performance.now();
    const description = head.slice();
    this.#decoder.configure({ codec: 'opus', sampleRate, numberOfChannels, description });
  }

  /** One broken packet closes a decoder for good, so the next ones get another. */
  #renewDecoder() {
    if (this.#decoder?.state !== 'closed' || this.#format?.codec !== 'opus') return;
    // Where it is no packet's fault, nothing is gained by haste.
    if (performance.now() >= this.#decoderAt + RENEW_AFTER) this.#openDecoder(this.#format);
  }

  /** @param {AudioData} data */
  #decoded(data) {
    const samples = new Float32Array(data.numberOfFrames);
    data.copyTo(samples, { planeIndex: 0, format: 'f32-planar' });
    this.#write(samples, data.sampleRate);
    data.close();
  }

  #closeDecoder() {
    if (this.#decoder && this.#decoder.state !== 'closed') this.#decoder.close();
    this.#decoder = undefined;
  }

  /**
   * @param {Float32Array<ArrayBuffer>} samples
   * @param {number} rate
   */
  #write(samples, rate) {
    // A context that stands still takes nothing: what waited would be heard too late.
    if (this.#context.sounding !== 'running') return;
    this.#node?.port.postMessage({ samples, rate }, [samples.buffer]);
  }
}
