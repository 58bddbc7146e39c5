#!/usr/bin/env node
/** Creates a session and speaks a WAV file into it, in real time. */

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Speaker } from '@ambo/client';
import WebSocket from 'ws';

const HELP = `Usage: node speaker.js --file talk.wav [options]

Creates a session and speaks a WAV file (16-bit PCM) into it, in real time.

  --file FILE       what to speak
  --server URL      default ws://127.0.0.1:8080/ws
  --token TOKEN     default: the variable AMBO_TOKEN; \`ambo token --user me\` prints one
  --language CODE   what is spoken, default en
  --wait-for N      wait for this many listeners before the first word
  --help            show this text

Ctrl-C ends the session.`;

const { values: options } = parseArgs({
  options: {
    file: { type: 'string' },
    server: { type: 'string', default: 'ws://127.0.0.1:8080/ws' },
    token: { type: 'string', default: process.env.AMBO_TOKEN },
    language: { type: 'string', default: 'en' },
    'wait-for': { type: 'string', default: '0' },
    help: { type: 'boolean', default: false },
  },
});
if (options.help || !options.file) {
  console.log(HELP);
  process.exit(options.help ? 0 : 2);
}

/** Finds the format and the samples in a WAV file. */
function readWav(file) {
  const bytes = readFileSync(file);
  if (bytes.toString('latin1', 0, 4) !== 'RIFF') throw new Error(`${file} is no WAV file`);
  let format;
  for (let at = 12; at + 8 <= bytes.length; ) {
    const [name, size] = [bytes.toString('latin1', at, at + 4), bytes.readUInt32LE(at + 4)];
    const chunk = bytes.subarray(at + 8, at + 8 + size);
    if (name === 'fmt ') {
      const [codec, bits] = [chunk.readUInt16LE(0), chunk.readUInt16LE(14)];
      if (![1, 0xfffe].includes(codec) || bits !== 16) throw new Error(`${file} is not 16-bit PCM`);
      format = { channels: chunk.readUInt16LE(2), rate: chunk.readUInt32LE(4) };
    }
    if (name === 'data' && format) return { ...format, samples: chunk };
    at += 8 + size + (size % 2);
  }
  throw new Error(`${file} has no samples`);
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const { rate, channels, samples } = readWav(options.file);
const frameBytes = Math.floor(rate / 50) * channels * 2; // 20 ms

const speaker = new Speaker({
  url: options.server,
  token: () => options.token ?? '', // Asked at each connect: sign in again here if it may be old.
  sourceLanguage: options.language,
  WebSocket,
});
let [listeners, isOver] = [0, false];
const say = (text) => console.error(`\r\x1b[K${text}`);
speaker.on('status', (status) => (listeners = status.listeners));
speaker.on('refreshed', ({ replayed }) => say(`Moved to a new connection, ${replayed} sent again.`));
speaker.on('reconnecting', ({ failure, retryIn }) =>
  say(`${failure.message}; back in ${Math.round(retryIn)} ms`));
speaker.on('reconnected', ({ replayed }) => say(`Back, ${replayed} frames sent again.`));
speaker.on('dropped', ({ frames }) => say(`${frames} frames were not sent.`));
speaker.on('error', ({ code, message }) => say(`${code}: ${message}`));
speaker.on('closed', () => (isOver = true));
process.once('SIGINT', () => speaker.end());

await speaker.connect().catch((error) => {
  console.error(`Cannot connect: ${error.message}`);
  process.exit(error.code ? 3 : 4); // Refused by the server, or not reached.
});
console.log(`Session ${speaker.sessionId} is open.`);
console.log(`Listen with: node listener.js ${speaker.sessionId} --language ${options.language}`);

speaker.configure({ codec: 'pcm_s16le', rate, channels });
for (const wanted = Number(options['wait-for']); listeners < wanted && !isOver; ) {
  await speaker.status().catch(() => {});
  await sleep(200);
}

const [start, total] = [performance.now(), Math.ceil(samples.length / frameBytes)];
for (let frame = 0; frame < total && !isOver; frame += 1) {
  speaker.send(samples.subarray(frame * frameBytes, (frame + 1) * frameBytes));
  if (frame % 25 === 0) {
    process.stderr.write(`\r\x1b[K${(frame / 50).toFixed(1)} s of ${(total / 50).toFixed(1)} s, ` +
      `${listeners} listening`);
  }
  // Measured from the start, so that small delays do not add up.
  await sleep(start + (frame + 1) * 20 - performance.now());
}
const { why, message } = await speaker.end();
say(`Spoken: ${total} frames.`);
if (why === 'failed' || why === 'byServer') {
  console.error(message);
  process.exitCode = 4;
}
