/** From the microphone to frames. */

import { Context } from './context.js';
import { floatsToPcm, OPUS_RATE, opusHead, pcmConfiguration } from './format.js';

/** @import { Speaker } from '../speaker.js' */
/** @import { Sounding } from './context.js' */

/**
 * @typedef {object} CaptureOptions
 * @property {Pick<Speaker, 'send' | 'configure'>} speaker Who says it.
 * @property {'pcm' | 'opus'} [codec] Opus takes a tenth of the bytes, where the browser can encode
 *   it; elsewhere PCM is sent. Default: `pcm`.
 * @property {number} [rate] Samples in a second of PCM; default 16000.
 * @property {number} [bitrate] Bits in a second of Opus; default 32000.
 * @property {MediaTrackConstraints} [constraints] Which microphone, and what the browser does with
 *   its sound.
 * @property {(error: Error) => void} [onError] The microphone is gone, or the encoder has failed.
 * @property {(sounding: Sounding) => void} [onChange] The sound is interrupted, or is back.
 */

/** Frames in a second. */
const FRAMES = 50;

/** A microphone that is being heard. */
export class Capture {
  /** @type {Context} */
  #context;
  /** @type {MediaStream} */
  #stream;
  /** @type {AudioEncoder | undefined} */
  #encoder;

  /**
   * Asks for the microphone and begins. Rejects with the browser's own error when there is none,
   * or the user says no.
   *
   * @param {CaptureOptions} options
   */
  static async start(options) {
    const wanted = { channelCount: 1, echoCancellation: true, noiseSuppression: true };
    const audio = { ...wanted, ...options.constraints };
    const stream = await navigator.mediaDevices.getUserMedia({ audio });
    const context = new Context(options.onChange);
    try {
      await context.load();
      const capture = new Capture(context, stream);
      await capture.#begin(options);
      return capture;
    } catch (error) {
      stream.getTracks().forEach((track) => track.stop());
      await context.close();
      throw error;
    }
  }

  /**
   * @private
   * @param {Context} context
   * @param {MediaStream} stream
   */
  constructor(context, stream) {
    this.#context = context;
    this.#stream = stream;
  }

  /** The codec that is sent. */
  get codec() {
    return this.#encoder ? 'opus' : 'pcm_s16le';
  }

  /** @param {CaptureOptions} options */
  async #begin({ speaker, codec, rate = 16_000, bitrate = 32_000, onError = () => {} }) {
    const config = { codec: 'opus', sampleRate: OPUS_RATE, numberOfChannels: 1, bitrate };
    const canOpus = codec === 'opus' && (await canEncode(config));
    const takes = canOpus ? this.#encode(speaker, config, onError) : undefined;
    speaker.configure(canOpus ? opusHead() : pcmConfiguration(rate));
    const frameRate = canOpus ? OPUS_RATE : rate;
    const { audio } = this.#context;
    const node = new AudioWorkletNode(audio, 'ambo-capture', {
      numberOfOutputs: 0,
      processorOptions: { rate: frameRate, length: Math.round(frameRate / FRAMES) },
    });
    node.port.onmessage = ({ data }) => (takes ? takes(data) : speaker.send(floatsToPcm(data)));
    audio.createMediaStreamSource(this.#stream).connect(node);
    for (const track of this.#stream.getTracks()) {
      track.addEventListener('ended', () => onError(new Error('The microphone is gone.')));
    }
  }

  /**
   * @param {CaptureOptions['speaker']} speaker
   * @param {AudioEncoderConfig} config
   * @param {(error: Error) => void} onError
   */
  #encode(speaker, config, onError) {
    const encoder = new AudioEncoder({
      output: (chunk) => {
        const packet = new Uint8Array(chunk.byteLength);
        chunk.copyTo(packet);
        speaker.send(packet);
      },
      error: onError,
    });
    encoder.configure(config);
    this.#encoder = encoder;
    let timestamp = 0;
    return (/** @type {Float32Array<ArrayBuffer>} */ data) => {
      if (encoder.state !== 'configured') return;
      const { sampleRate, numberOfChannels } = config;
      const numberOfFrames = data.length;
      const about = { sampleRate, numberOfChannels, numberOfFrames, timestamp, data };
      const sound = new AudioData({ format: 'f32', ...about });
      encoder.encode(sound);
      sound.close();
      timestamp += Math.round((data.length / sampleRate) * 1e6);
    };
  }

  /** Lets the microphone go. */
  async stop() {
    this.#stream.getTracks().forEach((track) => track.stop());
    if (this.#encoder?.state === 'configured') await this.#encoder.flush();
    if (this.#encoder && this.#encoder.state !== 'closed') this.#encoder.close();
    await this.#context.close();
  }
}

/** @param {AudioEncoderConfig} config */
async function canEncode(config) {
  if (typeof AudioEncoder === 'undefined') return false;
  const { supported } = await AudioEncoder.isConfigSupported(config).catch(() => ({
    supported: false,
  }));
  return supported === true;
}
