/** The parts of the audio that need no browser. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import * as format from '../src/audio/format.js';
import { Framer } from '../src/audio/resample.js';
import { Ring } from '../src/audio/ring.js';

const tone = (hertz, rate, seconds) =>
  Float32Array.from({ length: seconds * rate }, (_, at) =>
    Math.sin((2 * Math.PI * hertz * at) / rate),
  );

/** How much of a tone is in some samples, from 0 to 1. */
function share(samples, hertz, rate) {
  let [real, imaginary] = [0, 0];
  samples.forEach((sample, at) => {
    real += sample * Math.cos((2 * Math.PI * hertz * at) / rate);
    imaginary += sample * Math.sin((2 * Math.PI * hertz * at) / rate);
  });
  return (2 * Math.hypot(real, imaginary)) / samples.length;
}

/** Frames of 20 ms, put together again. */
function resampled(samples, from, to) {
  const frames = [];
  const framer = new Framer(from, to, to / 50);
  for (let at = 0; at < samples.length; at += 128) {
    framer.push(samples.subarray(at, at + 128), (frame) => frames.push(frame.slice()));
  }
  assert.ok(frames.every((frame) => frame.length === to / 50));
  return Float32Array.from(frames.flatMap((frame) => [...frame]));
}

describe('formats', () => {
  it('are told by their configuration', () => {
    const cases = [
      [format.pcmConfiguration(16_000), { codec: 'pcm_s16le', rate: 16_000, channels: 1 }],
      [new TextEncoder().encode('{}'), undefined],
      [new TextEncoder().encode('{"codec":"pcm_s16le","rate":0,"channels":0}'), undefined],
      [new TextEncoder().encode('OpusHead'), undefined],
      [new Uint8Array(0), undefined],
    ];
    for (const [payload, expected] of cases) assert.deepEqual(format.formatOf(payload), expected);
    const text = '{"codec":"pcm_s16le","rate":16000,"channels":1}';
    assert.equal(new TextDecoder().decode(format.pcmConfiguration(16_000)), text);
    const { codec, channels, head } = format.formatOf(format.opusHead());
    assert.deepEqual([codec, channels, head.length], ['opus', 1, 19]);
  });

  it('keep samples as they are', () => {
    const samples = Float32Array.of(0, 1, -1, 0.5, 2, -2);
    const pcm = format.floatsToPcm(samples);
    assert.deepEqual(
      [...new Int16Array(pcm.buffer)],
      [0, 32_767, -32_768, 16_384, 32_767, -32_768],
    );
    assert.deepEqual(
      [...format.pcmToFloats(format.floatsToPcm(Float32Array.of(0.25, -0.5)), 1)],
      [0.25, -0.5],
    );
    assert.deepEqual(
      [...format.pcmToFloats(format.floatsToPcm(Float32Array.of(0.5, -0.5)), 2)],
      [0],
    );
  });
});

describe('resampling', () => {
  for (const [from, to] of [
    [48_000, 16_000],
    [44_100, 16_000],
    [44_100, 48_000],
    [16_000, 16_000],
  ]) {
    it(`keeps a tone from ${from} to ${to}`, () => {
      const out = resampled(tone(1_000, from, 1), from, to).subarray(200);
      assert.ok(Math.abs(share(out, 1_000, to) - 1) < 0.02, `${share(out, 1_000, to)}`);
    });
  }

  it('lets no tone fold down', () => {
    // 11 kHz would be heard as 5 kHz.
    const out = resampled(tone(11_000, 48_000, 1), 48_000, 16_000).subarray(200);
    assert.ok(share(out, 5_000, 16_000) < 0.01, `${share(out, 5_000, 16_000)}`);
  });
});

describe('the ring', () => {
  const BLOCK = 128;
  const RATE = 48_000;

  /** Plays `seconds` while `arrives(now)` says how many frames of 20 ms have come by then. */
  function play(ring, seconds, arrives, rate = 16_000, hertz = 440) {
    const out = new Float32Array(Math.floor((seconds * RATE) / BLOCK) * BLOCK);
    const sound = tone(hertz, rate, seconds + 2);
    const length = rate / 50;
    let frames = 0;
    for (let at = 0; at < out.length; at += BLOCK) {
      for (; frames < arrives(at / RATE); frames += 1) {
        ring.write(sound.subarray(frames * length, (frames + 1) * length), rate);
      }
      ring.read(out.subarray(at, at + BLOCK));
    }
    return out;
  }

  it('plays a steady stream without a break, at its own rate', () => {
    const ring = new Ring(RATE);
    const out = play(ring, 5, (now) => Math.floor(now * 50) + 1);
    assert.deepEqual([ring.underruns, ring.overruns], [0, 0]);
    for (let at = RATE; at < 4 * RATE; at += RATE / 10) {
      const heard = share(out.subarray(at, at + RATE / 10), 440, RATE);
      assert.ok(Math.abs(heard - 1) < 0.02, `${heard}`);
    }
    assert.ok(ring.delay < 0.2, `${ring.delay} s`);
  });

  it('waits longer after it ran out, and shorter when all is calm', () => {
    const ring = new Ring(RATE);
    // A network that stalls for 300 ms each second, but for the first.
    const stalls = (now) => (now > 1 && now % 1 < 0.3 ? Math.floor(now) : now);
    play(ring, 6, (now) => Math.floor(stalls(now) * 50));
    assert.ok(ring.underruns > 0 && ring.underruns < 5, `${ring.underruns}`);
    assert.ok(ring.target > 0.25, `${ring.target} s`);
    const { target, underruns } = ring;
    play(ring, 31, (now) => Math.floor(now * 50) + 1);
    assert.equal(ring.underruns, underruns);
    assert.ok(ring.target < target);
  });

  it('skips what is too much', () => {
    const ring = new Ring(RATE);
    play(ring, 1, () => 200);
    assert.ok(ring.overruns > 0);
    assert.ok(ring.delay < 1.5);
  });

  it('follows a speaker whose clock is a little fast', () => {
    const ring = new Ring(RATE);
    play(ring, 60, (now) => Math.floor(now * 50 * 1.001) + 1);
    assert.deepEqual([ring.underruns, ring.overruns], [0, 0]);
    assert.ok(ring.delay < 0.3, `${ring.delay} s`);
  });

  it('does not blame a pause on the network', () => {
    const ring = new Ring(RATE);
    ring.write(tone(440, 16_000, 0.5), 16_000);
    ring.rest();
    const block = new Float32Array(BLOCK);
    for (let n = 0; n < 400; n += 1) ring.read(block);
    assert.equal(ring.underruns, 0);
    assert.ok(block.every((sample) => sample === 0));
  });

  it('survives a change of the rate', () => {
    const ring = new Ring(RATE);
    play(ring, 1, (now) => Math.floor(now * 50) + 1);
    const out = play(ring, 2, (now) => Math.floor(now * 50) + 1, 24_000, 600);
    assert.ok(share(out.subarray(RATE / 2, 1.5 * RATE), 600, RATE) > 0.9);
  });
});
