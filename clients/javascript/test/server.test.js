/** The clients and the examples against the real server. */

import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { execFileSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import WebSocket from 'ws';

import { Listener, Speaker } from '../src/index.js';
import { Ambo, BIN, run } from './support/ambo.js';
import { next } from './support/hostile.js';
import { samplesOf, tone } from './support/wav.js';

const EXAMPLES = resolve(import.meta.dirname, '../../../examples/javascript');
const limit = { timeout: 300_000 };

let ambo;
before(async () => {
  ambo = await Ambo.start();
  if (!existsSync(join(EXAMPLES, 'node_modules'))) {
    execFileSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: EXAMPLES, stdio: 'pipe' });
  }
});
after(() => ambo?.stop());

const newSpeaker = (options) =>
  new Speaker({
    url: ambo.url,
    token: () => ambo.token(),
    sourceLanguage: 'en',
    WebSocket,
    ...options,
  });
const newListener = (options) =>
  new Listener({
    url: ambo.url,
    targetLanguage: 'es',
    WebSocket,
    ...options,
  });

/**
 * What the server answers when all that was said before has arrived: what it tells by itself may be
 * older.
 */
async function status(speaker) {
  for (;;) {
    const told = await speaker.status();
    if (told.reason === 'requested') return told;
  }
}

describe('a session', limit, () => {
  it('is created, joined, steered, counted and ended', async () => {
    const speaker = newSpeaker();
    await speaker.connect();
    const listener = newListener({ sessionId: ` ${speaker.sessionId.toUpperCase()} ` });
    const joined = next(listener, 'sessionJoined');
    await listener.connect();
    assert.equal((await joined).targetLanguage, 'es');
    for (const [command, told] of [
      ['pause', 'paused'],
      ['resume', 'resumed'],
      ['mute', 'muted'],
      ['unmute', 'unmuted'],
    ]) {
      const [turn, state] = [next(listener, told), next(speaker, 'state')];
      speaker[command](`to ${command}`);
      assert.deepEqual((await turn).state, await state);
      assert.equal((await turn).message, `to ${command}`);
    }
    const changed = next(listener, 'languageChanged');
    listener.changeLanguage('de');
    assert.equal((await changed).targetLanguage, 'de');
    assert.deepEqual((await status(speaker)).languages, { de: 1 });
    const ended = next(listener, 'ended');
    assert.equal((await speaker.end('Amen')).why, 'ended');
    assert.equal((await ended).reason, 'speakerEnded');
    assert.equal((await listener.closed).why, 'ended');
  });

  it('is heard from its configuration on by one who comes late', async () => {
    const speaker = newSpeaker();
    await speaker.connect();
    speaker.configure({ codec: 'pcm_s16le', rate: 16_000, channels: 1 });
    speaker.send(new Uint8Array(640));
    await status(speaker);
    const listener = newListener({ sessionId: speaker.sessionId });
    await listener.connect();
    speaker.send(Uint8Array.of(7));
    const heard = [];
    for await (const frame of listener) {
      heard.push(frame);
      if (frame.kind === 'audio') break;
    }
    assert.deepEqual(
      heard.map(({ kind, sequence }) => [kind, sequence]),
      [
        ['configuration', 1],
        ['audio', 3],
      ],
    );
    assert.deepEqual([...heard[1].payload], [7]);
    await Promise.all([listener.leave(), speaker.leave()]);
  });

  it('is taken up by its speaker', async () => {
    const first = newSpeaker();
    await first.connect();
    const listener = newListener({ sessionId: first.sessionId });
    await listener.connect();
    first.send(Uint8Array.of(1));
    await status(first);
    const second = newSpeaker({ sessionId: first.sessionId });
    await second.connect();
    second.send(Uint8Array.of(2));
    const heard = [];
    for await (const { sequence } of listener) if (heard.push(sequence) === 2) break;
    assert.deepEqual(heard, [1, 2]);
    await second.end();
    first.leave();
  });

  for (const [what, code, make] of [
    ['an unknown id', 'SESSION_NOT_FOUND', () => newListener({ sessionId: 'no-one-427' })],
    ['a wrong id', 'INVALID_SESSION_ID', () => newListener({ sessionId: 'x' })],
    ['a wrong token', 'UNAUTHORIZED', () => newSpeaker({ token: () => 'x.y.z' })],
    ['no token', 'UNAUTHORIZED', () => newSpeaker({ token: () => '' })],
    ['a wrong language', 'INVALID_PARAMETERS', () => newSpeaker({ sourceLanguage: 'english' })],
  ]) {
    it(`refuses ${what}`, async () => {
      await assert.rejects(make().connect(), { code });
    });
  }
});

describe('the examples', limit, () => {
  const node =
    (program, ...args) =>
    (options) =>
      run(process.execPath, [join(EXAMPLES, program), ...args, '--server', ambo.url], options);
  const cli =
    (...args) =>
    (options) =>
      run(BIN, [...args, '--server', ambo.url], options);

  /** Speaks a file with one program, hears it with another, and compares the two. */
  async function carry(name, speak, listen) {
    const [spoken, heard] = ['spoken', 'heard'].map((what) =>
      join(ambo.folder, `${name}-${what}.wav`),
    );
    writeFileSync(spoken, tone({ seconds: 1.51 }));
    let listening;
    const speaking = speak(spoken)({
      onStart: ({ child }) =>
        child.stdout.on('data', (text) => {
          const [id] = /[a-z]+-[a-z]+-\d{3}/.exec(text) ?? [];
          if (id) listening ??= listen(id, heard)();
        }),
    });
    const said = await speaking;
    assert.equal(said.code, 0, said.err);
    const { code, err } = await listening;
    assert.equal(code, 0, err);
    const [before, after] = [spoken, heard].map((file) => samplesOf(readFileSync(file)));
    assert.ok(before.equals(after), `${before.length} bytes spoken, ${after.length} heard: ${err}`);
    return { said, heardText: err };
  }

  const speak = (file) =>
    node('speaker.js', '--file', file, '--token', ambo.token(), '--wait-for', '1');
  const listen = (id, out) => node('listener.js', id, '--language', 'es', '--out', out);

  it('carry a file sample by sample', async () => {
    const { said, heardText } = await carry('examples', speak, listen);
    assert.match(said.err, /s of 1\.5 s, 1 listening/);
    assert.match(heardText, /1\.51 s in .*, 0 frames missing/);
  });

  it('are heard by the command line', async () => {
    await carry('to-cli', speak, (id, out) => cli('listen', id, '--language', 'es', '--out', out));
  });

  it('hear the command line', async () => {
    const args = ['--token', ambo.token(), '--wait-for', '1'];
    await carry('from-cli', (file) => cli('speak', '--file', file, ...args), listen);
  });

  it('help, refuse and fail in words', async () => {
    for (const program of ['speaker.js', 'listener.js']) {
      const path = join(EXAMPLES, program);
      const help = await run(process.execPath, [path, '--help']);
      assert.deepEqual([help.code, help.err], [0, '']);
      assert.match(help.out, /^Usage: node/);
      assert.equal((await run(process.execPath, [path])).code, 2);
      assert.ok(readFileSync(path, 'utf8').split('\n').length <= 121, `${program} is too long`);
    }
    const lost = await node('listener.js', 'no-one-427')();
    assert.equal(lost.code, 3);
    const file = join(ambo.folder, 'a.wav');
    writeFileSync(file, tone({ seconds: 0.1 }));
    const refused = await node('speaker.js', '--file', file, '--token', 'x.y.z')();
    assert.deepEqual([refused.code, refused.err], [3, 'Cannot connect: Invalid token\n']);
  });
});
