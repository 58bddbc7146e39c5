/** WAV files for tests. */

/** A tone with noise in it, so that every frame is unlike any other. */
export function tone({ seconds, rate = 16_000, hertz = 440 }) {
  let noise = 1;
  const samples = Int16Array.from({ length: Math.round(seconds * rate) }, (_, at) => {
    noise = (Math.imul(noise, 1_103_515_245) + 12_345) >>> 0;
    return Math.round(12_000 * Math.sin((2 * Math.PI * hertz * at) / rate)) + (noise >>> 24);
  });
  return wav(samples, rate);
}

export function wav(samples, rate) {
  const header = Buffer.alloc(44);
  header.write('RIFF    WAVEfmt ', 0, 'latin1');
  header.write('data', 36, 'latin1');
  const bytes = samples.length * 2;
  const words = [
    [4, 36 + bytes],
    [16, 16],
    [24, rate],
    [28, rate * 2],
    [40, bytes],
  ];
  for (const [at, value] of words) header.writeUInt32LE(value, at);
  for (const [at, value] of [
    [20, 1],
    [22, 1],
    [32, 2],
    [34, 16],
  ])
    header.writeUInt16LE(value, at);
  return Buffer.concat([header, Buffer.from(samples.buffer, samples.byteOffset, bytes)]);
}

/** The samples of a WAV file, wherever they stand in it. */
export function samplesOf(bytes) {
  const at = bytes.indexOf('data') + 8;
  return bytes.subarray(at, at + bytes.readUInt32LE(at - 4));
}
