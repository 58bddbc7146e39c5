#!/usr/bin/env node
/** Joins a session and records what it hears into a WAV file. */

import { closeSync, openSync, writeSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Listener } from '@ambo/client';
import WebSocket from 'ws';

const HELP = `Usage: node listener.js SESSION [options]

Joins a session and records what it hears into a WAV file.

  SESSION           such as faithful-shepherd-427
  --language CODE   what to hear, default en
  --out FILE        default heard.wav
  --server URL      default ws://127.0.0.1:8080/ws
  --help            show this text

Ctrl-C leaves; the recording is complete then, too.`;

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    language: { type: 'string', default: 'en' },
    out: { type: 'string', default: 'heard.wav' },
    server: { type: 'string', default: 'ws://127.0.0.1:8080/ws' },
    help: { type: 'boolean', default: false },
  },
});
if (options.help || positionals.length !== 1) {
  console.log(HELP);
  process.exit(options.help ? 0 : 2);
}

/** A WAV file that is written as the sound comes. */
class Recording {
  bytes = 0;

  constructor(file, { rate, channels }) {
    Object.assign(this, { rate, channels, file: openSync(file, 'w') });
    this.writeHeader();
  }

  get seconds() {
    return this.bytes / 2 / this.channels / this.rate;
  }

  write(samples) {
    writeSync(this.file, samples, 0, samples.length, 44 + this.bytes);
    this.bytes += samples.length;
  }

  writeHeader() {
    const header = Buffer.alloc(44);
    const block = this.channels * 2;
    header.write('RIFF    WAVEfmt ', 0, 'latin1');
    header.write('data', 36, 'latin1');
    for (const [at, value] of [[4, 36 + this.bytes], [16, 16], [24, this.rate],
      [28, this.rate * block], [40, this.bytes]]) header.writeUInt32LE(value, at);
    for (const [at, value] of [[20, 1], [22, this.channels], [32, block], [34, 16]]) {
      header.writeUInt16LE(value, at);
    }
    writeSync(this.file, header, 0, 44, 0);
  }

  close() {
    this.writeHeader(); // Now the length is known.
    closeSync(this.file);
  }
}

const listener = new Listener({
  url: options.server,
  sessionId: positionals[0],
  targetLanguage: options.language,
  WebSocket,
});
const say = (text) => console.error(`\r\x1b[K${text}`);
let [missing, shownAt] = [0, 0];
listener.on('gap', ({ frames }) => (missing += frames));
listener.on('dropped', ({ frames }) => (missing += frames));
listener.on('paused', ({ reason, message }) => say(`Paused: ${message ?? reason ?? ''}`));
listener.on('resumed', () => say('Resumed.'));
listener.on('refreshed', () => say('Moved to a new connection.'));
listener.on('reconnecting', ({ failure, retryIn }) =>
  say(`${failure.message}; back in ${Math.round(retryIn)} ms`));
listener.on('reconnected', ({ replayed }) => say(`Back, ${replayed} frames heard later.`));
listener.on('ended', ({ message }) => say(message));
listener.on('error', ({ code, message }) => say(`${code}: ${message}`));
process.once('SIGINT', () => listener.leave());

let recording;
try {
  await listener.connect();
  console.log(`Listening to ${listener.sessionId}.`);
  for await (const { kind, payload } of listener) {
    if (kind === 'configuration') {
      const { codec, rate, channels } = JSON.parse(new TextDecoder().decode(payload));
      if (codec !== 'pcm_s16le') throw new Error(`This example cannot decode ${codec}.`);
      recording ??= new Recording(options.out, { rate, channels });
    } else if (recording) {
      recording.write(payload);
      if (recording.seconds >= shownAt) {
        process.stderr.write(`\r\x1b[K${recording.seconds.toFixed(1)} s heard, ${missing} missing`);
        shownAt = recording.seconds + 0.5;
      }
    }
  }
} catch (error) {
  console.error(`\r\x1b[K${error.message}`);
  process.exitCode = error.code ? 3 : 4; // Refused by the server, or lost for good.
}
recording?.close();
if (recording) say(`${recording.seconds.toFixed(2)} s in ${options.out}, ${missing} frames missing.`);
