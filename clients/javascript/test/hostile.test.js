/** The clients against a server that misbehaves, over real sockets. */

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { afterEach, describe, it } from 'node:test';
import WebSocket from 'ws';

import { AmboError, Listener, Speaker } from '../src/index.js';
import { encodeFrame, parseFrame } from '../src/wire.js';
import { Hostile, next, until } from './support/hostile.js';
import { SESSION } from './support/stage.js';

/** Waits of a hundredth: the machine's own are tested with a clock of the test's. */
const timing = { firstRetry: 10, longestRetry: 300, connectLimit: 5_000, endLimit: 5_000 };
const limit = { timeout: 180_000 };

/** A socket like a browser's: it cannot ping, nor read a refused handshake. */
class BrowserSocket extends WebSocket {
  ping = undefined;
  terminate = undefined;
  on(name, told) {
    return name === 'pong' || name === 'unexpected-response' ? this : super.on(name, told);
  }
}

let hostile;
let members = [];
afterEach(async () => {
  for (const member of members.splice(0)) member.leave();
  await hostile?.stop();
  hostile = undefined;
});

const speaker = (options) =>
  keep(
    new Speaker({
      url: hostile.url,
      token: () => 'token',
      sourceLanguage: 'en',
      WebSocket,
      timing,
      ...options,
    }),
  );
const listener = (options) =>
  keep(
    new Listener({
      url: hostile.url,
      sessionId: SESSION,
      targetLanguage: 'es',
      WebSocket,
      timing,
      ...options,
    }),
  );
const keep = (member) => members.push(member) && member;
const sound = (sequence, kind = 'audio') =>
  encodeFrame({
    kind,
    language: 'en',
    sequence,
    capturedMicros: sequence * 1_000,
    payload: Uint8Array.of(sequence),
  });
const welcoming = (call) => call.welcome();

for (const Socket of [WebSocket, BrowserSocket]) {
  describe(`with the socket of ${Socket === WebSocket ? 'ws' : 'a browser'}`, limit, () => {
    const options = { WebSocket: Socket };

    it('speaks, steers, asks and ends', async () => {
      hostile = await Hostile.start(welcoming);
      const it = speaker(options);
      await it.connect();
      assert.equal(it.sessionId, SESSION);
      assert.equal(hostile.calls[0].query.token, 'token');
      it.configure({ codec: 'pcm_s16le' });
      it.send(Int16Array.of(1, 2));
      it.pause('soon');
      assert.equal((await next(it, 'state')).isPaused, true);
      assert.equal((await it.status()).listeners, 3);
      const ended = next(it, 'ended');
      assert.equal((await it.end('Amen')).why, 'ended');
      assert.equal((await ended).reason, 'speakerEnded');
      const [first, second] = hostile.calls[0].frames.map((data) => parseFrame(data));
      assert.deepEqual([first.kind, first.sequence], ['configuration', 1]);
      assert.deepEqual([second.kind, second.sequence, second.payload.length], ['audio', 2, 4]);
      assert.deepEqual(hostile.calls[0].said.at(-1), { action: 'endSession', reason: 'Amen' });
    });

    it('hears frames one after the other, once', async () => {
      hostile = await Hostile.start((call) => {
        call.welcome();
        for (const n of [1, 2, 2, 1, 3, 6]) call.ws.send(sound(n));
      });
      const it = listener(options);
      const gap = next(it, 'gap');
      await it.connect();
      const heard = [];
      for await (const { sequence } of it) {
        heard.push(sequence);
        if (sequence === 6) break;
      }
      assert.deepEqual(heard, [1, 2, 3, 6]);
      assert.deepEqual(await gap, { frames: 2 });
    });

    it('drops a silent connection in a way that does not end the session', async () => {
      hostile = await Hostile.start((call, nth) => {
        call.isMute = nth === 1;
        call.welcome();
      });
      const it = speaker({ ...options, timing: { ...timing, pingAfter: 300, pongLimit: 300 } });
      await it.connect();
      const { failure } = await next(it, 'reconnecting');
      assert.match(failure.message, /silent/);
      await next(it, 'reconnected');
      await until(() => hostile.calls[0].close);
      assert.ok(![1000, 1001, 1005].includes(hostile.calls[0].close.code));
    });

    it('reads a refusal on the socket', async () => {
      hostile = await Hostile.start((call) => {
        call.tell({ type: 'error', code: 'SESSION_NOT_FOUND', message: 'gone' });
        call.ws.close(1008, 'SESSION_NOT_FOUND');
      });
      const it = listener(options);
      await assert.rejects(
        it.connect(),
        (thrown) => thrown instanceof AmboError && thrown.code === 'SESSION_NOT_FOUND',
      );
      assert.equal((await it.closed).failure.status, 404);
      await assert.rejects(async () => {
        for await (const _ of it);
      }, AmboError);
    });
  });
}

describe('a hostile server', limit, () => {
  for (const [code, reason, comesBack] of [
    [1000, '', true],
    [1000, 'superseded', false],
    [1001, '', true],
    [1002, '', false],
    [1003, '', false],
    [1007, '', false],
    [1008, '', false],
    [1009, '', false],
    [1011, '', true],
    [1012, '', true],
    [1013, '', true],
    [1013, 'slow consumer', true],
    [3000, '', true],
    [4999, 'x', true],
    [undefined, '', true],
    ['kill', '', true],
  ]) {
    it(`closes with ${code} ${reason}: ${comesBack ? 'back' : 'stays away'}`, async () => {
      hostile = await Hostile.start((call, nth) => {
        call.welcome();
        if (nth > 1) return;
        if (code === 'kill') call.ws.terminate();
        else setTimeout(() => call.ws.close(code, reason), 5);
      });
      const it = listener();
      await it.connect();
      if (comesBack) await next(it, 'reconnected');
      else assert.equal((await it.closed).why, 'byServer');
    });
  }

  it('never completes a refresh, then does', async () => {
    hostile = await Hostile.start((call, nth) => {
      if (nth === 1 || nth > 3) call.welcome();
      if (nth === 1) call.tell({ type: 'connectionRefreshRequired', reason: 'age' });
    });
    const it = speaker({ timing: { ...timing, connectLimit: 3_000 } });
    await it.connect();
    const failed = [];
    it.on('refreshFailed', (detail) => failed.push(detail));
    const talk = setInterval(() => it.send(Uint8Array.of(1)), 5);
    await next(it, 'refreshed');
    clearInterval(talk);
    // A busy machine may let another one pass.
    assert.ok(failed.length >= 2, `${failed.length} failed`);
    assert.ok(hostile.calls[0].frames.length > 10, 'the old connection served meanwhile');
    await until(() => hostile.calls[0].close);
    assert.equal(hostile.calls[0].close.code, 1000);
  });

  it('asks for a refresh again and again: the speaker loses nothing', async () => {
    let last;
    const heard = [];
    hostile = await Hostile.start((call) => {
      call.welcome(call.query.action === 'createSession' ? {} : { lastSequence: last });
      call.tell({ type: 'connectionRefreshRequired', reason: 'age' });
      call.onMessage = (data, isBinary) => {
        const { sequence } = (isBinary && parseFrame(data)) || {};
        if (isBinary && !(sequence <= last)) heard.push((last = sequence));
      };
    });
    const it = speaker();
    await it.connect();
    let refreshes = 0;
    it.on('refreshed', () => (refreshes += 1));
    let said = 0;
    while (said < 300 || refreshes <= 10) {
      said += 1;
      it.send(Uint8Array.of(said & 255));
      if (said % 3 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await it.end();
    assert.deepEqual(
      heard,
      Array.from({ length: said }, (_, n) => n + 1),
    );
  });

  it('drops every connection: the token is asked for anew, the frames come again', async () => {
    let last;
    const heard = [];
    hostile = await Hostile.start((call) => {
      call.welcome(last === undefined ? {} : { lastSequence: last });
      call.onMessage = (data, isBinary) => {
        const { sequence } = (isBinary && parseFrame(data)) || {};
        if (isBinary && !(sequence <= last)) heard.push((last = sequence));
        if (isBinary && sequence % 7 === 0) call.ws.terminate();
      };
    });
    let tokens = 0;
    const token = async () => `token-${(tokens += 1)}`;
    const it = speaker({ token, timing: { ...timing, longestRetry: 20 } });
    await it.connect();
    for (let n = 0; n < 100; n += 1) it.send(Uint8Array.of(n));
    await until(() => heard.length === 100);
    assert.deepEqual(
      heard,
      Array.from({ length: 100 }, (_, n) => n + 1),
    );
    assert.deepEqual(
      hostile.calls.map(({ query }) => query.token),
      hostile.calls.map((_, n) => `token-${n + 1}`),
    );
  });

  it('sends garbage', async () => {
    hostile = await Hostile.start((call) => {
      for (const text of ['', '{', '[1]', '{"type":"later"}', '{"type":"sessionEnded"}']) {
        call.ws.send(text);
      }
      call.ws.send(Buffer.from([9, 9, 9]));
      call.welcome();
      call.ws.send(Buffer.alloc(70_000, 1));
      call.ws.send(sound(1));
    });
    const it = listener();
    const heard = next(it, 'audio');
    await it.connect();
    assert.equal((await heard).sequence, 1);
  });

  it('floods one who does not listen: the newest is kept, and the loss told', async () => {
    hostile = await Hostile.start((call) => {
      call.welcome();
      call.ws.send(sound(1, 'configuration'));
      for (let n = 2; n < 200; n += 1) call.ws.send(sound(n));
    });
    const it = listener({ timing: { ...timing, bufferFrames: 50 } });
    let dropped = 0;
    it.on('dropped', ({ frames }) => (dropped += frames));
    const frames = it[Symbol.asyncIterator]();
    const taken = [frames.next()];
    let last = 0;
    it.on('audio', ({ sequence }) => (last = sequence));
    await it.connect();
    await until(() => last === 199);
    while (taken.length + dropped < 199) taken.push(frames.next());
    const all = await Promise.all(taken);
    assert.ok(dropped > 100, `${dropped} dropped`);
    assert.deepEqual([all[0].value.kind, all.at(-1).value.sequence], ['configuration', 199]);
  });

  it('answers by HTTP status, as a proxy does', async () => {
    const proxy = createServer().listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    proxy.on('upgrade', (_, socket) => {
      socket.end('HTTP/1.1 503 No\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n');
    });
    hostile = await Hostile.start(welcoming);
    const it = listener({ url: `http://127.0.0.1:${proxy.address().port}` });
    await assert.rejects(
      it.connect(),
      ({ failure }) => failure.status === 503 && failure.retryAfter === 2_000,
    );
    proxy.closeAllConnections();
    proxy.close();
  });

  it('is not there', async () => {
    hostile = await Hostile.start(welcoming);
    const it = listener({ url: 'ws://127.0.0.1:9' });
    await assert.rejects(it.connect(), ({ failure }) => failure.kind === 'unreachable');
  });
});

describe('what the user does', limit, () => {
  it('aborts', async () => {
    hostile = await Hostile.start(welcoming);
    const abort = new AbortController();
    const it = listener({ signal: abort.signal });
    await it.connect();
    abort.abort();
    assert.equal((await it.closed).why, 'left');
    await until(() => hostile.calls[0].close);
    assert.equal(hostile.calls[0].close.code, 1000);
    for await (const _ of it) assert.fail();
    const late = listener({ signal: abort.signal });
    await assert.rejects(late.connect(), { name: 'AbortError' });
    assert.equal((await late.closed).why, 'left');
    for await (const _ of late) assert.fail();
  });

  it('aborts while it connects', async () => {
    hostile = await Hostile.start(() => {});
    const abort = new AbortController();
    const it = speaker({ signal: abort.signal });
    setTimeout(() => abort.abort(new Error('enough')), 20);
    await assert.rejects(it.connect(), /enough/);
  });

  it('throws in a listener: it is told, and nothing else happens', async () => {
    hostile = await Hostile.start(welcoming);
    const it = listener();
    it.on('sessionJoined', () => {
      throw new Error('mine');
    });
    const error = next(it, 'error');
    await it.connect();
    assert.deepEqual([(await error).code, (await error).message], ['LISTENER_FAILED', 'mine']);
  });

  it('has no token', async () => {
    hostile = await Hostile.start(welcoming);
    const it = speaker({ token: () => Promise.reject(new Error('signed out')) });
    await assert.rejects(it.connect(), /signed out/);
    assert.equal(hostile.calls.length, 0);
  });

  it('gives what cannot be right', () => {
    const token = () => 'token';
    assert.throws(
      () => new Listener({ url: 'x', sessionId: 'a', targetLanguage: 'es', WebSocket }),
    );
    assert.throws(
      () =>
        new Speaker({ url: 'ws://x', token, sourceLanguage: 'en', WebSocket }).send(
          new Uint8Array(0),
        ),
      RangeError,
    );
    assert.throws(
      () =>
        new Speaker({ url: 'ws://x', token, sourceLanguage: 'en', WebSocket }).send(
          new Uint8Array(32 * 1024 + 1),
        ),
      RangeError,
    );
    if (!globalThis.WebSocket) {
      assert.throws(() => new Speaker({ url: 'ws://x', token, sourceLanguage: 'en' }), TypeError);
    }
  });

  it('leaves before it is connected', async () => {
    hostile = await Hostile.start(welcoming);
    const it = listener();
    assert.equal((await it.leave()).why, 'left');
    await assert.rejects(it.connect(), AmboError);
  });
});
