/**
 * What the audio is: the codec configuration that goes ahead of it.
 *
 * Ambo's server does not look into audio, so speaker and listeners agree among themselves. This is
 * the agreement of the command line, the web page, the examples and these helpers. The payload of
 * the configuration frame is one of
 *
 * - `{"codec":"pcm_s16le","rate":16000,"channels":1}`: each frame is whole samples, 16-bit
 *   little-endian, channels interleaved; 20 ms by custom.
 * - an `OpusHead` (RFC 7845, 5.1), which begins with these eight letters: each frame is one packet.
 */

/**
 * @typedef {{ codec: 'pcm_s16le', rate: number, channels: number }
 *   | { codec: 'opus', rate: 48000, channels: number, head: Uint8Array }} Format
 */

/** Opus always counts in this rate. */
export const OPUS_RATE = 48_000;

/**
 * Reads a configuration; `undefined` if this version does not know the codec.
 *
 * @param {Uint8Array} payload
 * @returns {Format | undefined}
 */
export function formatOf(payload) {
  const text = new TextDecoder().decode(payload);
  if (text.startsWith('OpusHead') && payload.length >= 19) {
    return { codec: 'opus', rate: OPUS_RATE, channels: payload[9] ?? 1, head: payload };
  }
  try {
    const { codec, rate, channels } = JSON.parse(text);
    const isSane = rate >= 1_000 && rate <= 192_000 && channels >= 1 && channels <= 8;
    return codec === 'pcm_s16le' && isSane ? { codec, rate, channels } : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The configuration of mono PCM.
 *
 * @param {number} rate Samples in a second.
 */
export function pcmConfiguration(rate) {
  return new TextEncoder().encode(JSON.stringify({ codec: 'pcm_s16le', rate, channels: 1 }));
}

/** The configuration of mono Opus, with the pre-skip that encoders use by custom. */
export function opusHead() {
  const head = new Uint8Array(19);
  new TextEncoder().encodeInto('OpusHead', head);
  const view = new DataView(head.buffer);
  view.setUint8(8, 1);
  view.setUint8(9, 1);
  view.setUint16(10, 312, true);
  view.setUint32(12, OPUS_RATE, true);
  return head;
}

/**
 * Samples from -1 to 1, all channels mixed into one.
 *
 * @param {Uint8Array} payload
 * @param {number} channels
 */
export function pcmToFloats(payload, channels) {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const samples = new Float32Array(Math.floor(payload.byteLength / 2 / channels));
  for (let at = 0; at < samples.length; at += 1) {
    let sum = 0;
    for (let channel = 0; channel < channels; channel += 1) {
      sum += view.getInt16((at * channels + channel) * 2, true);
    }
    samples[at] = sum / channels / 0x8000;
  }
  return samples;
}

/**
 * @param {Float32Array} samples
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function floatsToPcm(samples) {
  const view = new DataView(new ArrayBuffer(samples.length * 2));
  samples.forEach((sample, at) => {
    const level = Math.max(-1, Math.min(1, sample)) * 0x8000;
    view.setInt16(at * 2, Math.min(0x7fff, Math.round(level)), true);
  });
  return new Uint8Array(view.buffer);
}
