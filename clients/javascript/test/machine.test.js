/** How connections are made, moved and had again, without a socket or a clock. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import * as stage from './support/stage.js';

const { Stage, SESSION, SPEAKER, LISTENER, created, joined } = stage;
const {
  names,
  detail,
  texts,
  opens,
  only,
  sequences,
  error,
  frame,
  listenerComplete,
  speakerComplete,
} = stage;

describe('connecting', () => {
  it('asks for a session, then goes on in it', () => {
    const it = new Stage({ ...SPEAKER, qualityTier: 'premium' });
    const [open] = opens(it.tell({ type: 'start' }));
    assert.deepEqual(open.query, {
      action: 'createSession',
      sourceLanguage: 'en',
      qualityTier: 'premium',
    });
    assert.equal(open.wantsToken, true);
    it.opens(1);
    assert.equal(detail(it.hears(1, created), 'sessionCreated').sessionId, SESSION);
    it.tell({ type: 'closed', socket: 1 });
    const [again] = opens(it.pass(1_000));
    assert.deepEqual(again.query, {
      action: 'refreshConnection',
      sessionId: SESSION,
      role: 'speaker',
    });
    assert.equal(again.wantsToken, true);
  });

  it('joins without a token, and comes back with what it has', () => {
    const it = new Stage(LISTENER);
    const [open] = opens(it.tell({ type: 'start' }));
    assert.deepEqual(open.query, {
      action: 'joinSession',
      sessionId: SESSION,
      targetLanguage: 'es',
    });
    assert.equal(open.wantsToken, false);
    it.opens(1);
    it.hears(1, joined);
    it.tell({ type: 'binary', socket: 1, bytes: frame(41) });
    it.hears(1, stage.refreshRequired('secret'));
    it.tell({ type: 'closed', socket: 2 });
    it.tell({ type: 'closed', socket: 1 });
    const { query } = opens(it.effects.concat(it.pass(1_000))).at(-1);
    assert.deepEqual(query, {
      action: 'refreshConnection',
      sessionId: SESSION,
      role: 'listener',
      targetLanguage: 'es',
      refreshToken: 'secret',
      lastSequence: '41',
    });
  });

  it('takes a session up', () => {
    const it = new Stage({ ...SPEAKER, sessionId: SESSION });
    const effects = it.begin(speakerComplete(40));
    assert.deepEqual(names(effects), ['sessionTaken']);
    assert.deepEqual(sequences(it.say(1)), [41]);
  });

  for (const [code, status, retried] of [
    ['SESSION_NOT_FOUND', 404, false],
    ['UNAUTHORIZED', 401, false],
    ['FORBIDDEN', 403, false],
    ['INVALID_PARAMETERS', 400, false],
    ['RATE_LIMIT_EXCEEDED', 429, true],
    ['INTERNAL_ERROR', 500, true],
    ['SESSION_FULL', 503, true],
    ['SERVICE_UNAVAILABLE', 503, true],
    ['OF_A_LATER_VERSION', 500, true],
  ]) {
    it(`${retried ? 'tries again' : 'gives up'} when it cannot come back for ${code}`, () => {
      const it = new Stage(LISTENER);
      it.begin(joined);
      it.tell({ type: 'closed', socket: 1 });
      it.pass(1_000);
      it.opens(2);
      const effects = it.hears(2, error(code, { retryAfter: 12 }));
      const failure = detail(effects, retried ? 'reconnecting' : 'reconnectFailed').failure;
      assert.equal(failure.status, status);
      assert.equal(it.machine.isDone, !retried);
      if (!retried) return assert.equal(detail(effects, 'closed').failure, failure);
      assert.deepEqual(opens(it.pass(11_999)), [], 'Retry-After is obeyed');
      assert.equal(opens(it.pass(1_001)).length, 1);
    });
    it(`tells a first ${code} and ends`, () => {
      const it = new Stage(SPEAKER);
      const effects = it.begin(error(code));
      assert.deepEqual(names(effects), ['closed']);
      assert.equal(detail(effects, 'closed').failure.error.code, code);
      assert.equal(only(effects, 'abort').length, 1);
    });
  }

  it('does not wait for ever for the first message', () => {
    const it = new Stage(SPEAKER);
    it.tell({ type: 'start' });
    it.opens(1);
    assert.deepEqual(it.pass(9_999), []);
    const effects = it.pass(1);
    assert.deepEqual(only(effects, 'abort'), [{ type: 'abort', socket: 1 }]);
    assert.equal(detail(effects, 'closed').failure.kind, 'unreachable');
  });

  it('obeys Retry-After even when it is woken', () => {
    const it = new Stage(LISTENER);
    it.begin(joined);
    it.tell({ type: 'closed', socket: 1 });
    it.pass(1_000);
    it.hears(2, error('SERVICE_UNAVAILABLE', { retryAfter: 7 }));
    assert.deepEqual(opens(it.tell({ type: 'wake' })), []);
    assert.equal(opens(it.pass(7_000)).length, 1);
  });
});

describe('coming back', () => {
  it('waits with full jitter, up to 1, 2, 4 … 30 s', () => {
    const it = new Stage(LISTENER, { random: () => 1 - 1e-9 });
    it.begin(joined);
    const waits = [];
    const attempts = [];
    let effects = it.tell({ type: 'closed', socket: 1 });
    for (let socket = 2; socket < 9; socket += 1) {
      const { retryIn, attempt } = detail(effects, 'reconnecting');
      waits.push(Math.round(retryIn / 1_000));
      attempts.push(attempt);
      it.pass(retryIn);
      effects = it.tell({ type: 'closed', socket, code: 1006 });
    }
    assert.deepEqual(waits, [1, 2, 4, 8, 16, 30, 30]);
    assert.deepEqual(attempts, [1, 2, 3, 4, 5, 6, 7]);
  });

  it('never waits much longer than it was away', () => {
    // Small draws use up the first attempts; then a large one.
    const draws = [];
    const it = new Stage(LISTENER, { random: () => draws.shift() ?? 0.5 });
    it.begin(joined);
    draws.splice(0, draws.length, 0.1, 0.1, 0.1, 1);
    let effects = it.tell({ type: 'closed', socket: 1 });
    const start = it.now;
    for (let socket = 2; socket < 5; socket += 1) {
      it.pass(detail(effects, 'reconnecting').retryIn);
      effects = it.tell({ type: 'closed', socket, code: 1006 });
    }
    assert.equal(detail(effects, 'reconnecting').retryIn, 1_000 + it.now - start);
  });

  it('comes back at once when the network does, and doubts a line that looks alive', () => {
    const it = new Stage(LISTENER, { random: () => 0.9 });
    it.begin(joined);
    assert.deepEqual(texts(it.tell({ type: 'wake' })), [{ action: 'heartbeat' }]);
    it.tell({ type: 'closed', socket: 1 });
    assert.equal(opens(it.tell({ type: 'wake' })).length, 1);
  });

  it('begins its waits anew after a steady connection only', () => {
    for (const [lived, waits] of [
      [0, [1, 2, 4, 8, 16, 30, 30]],
      [1_999, [1, 2, 4, 8, 16, 30, 30]],
      [2_000, [1, 1, 1]],
    ]) {
      const it = new Stage(LISTENER, { random: () => 1 - 1e-9 });
      it.begin(joined);
      const told = waits.map((_, n) => {
        it.pass(lived);
        const effects = it.tell({ type: 'closed', socket: n + 1, code: 1011 });
        const { retryIn } = detail(effects, 'reconnecting');
        it.pass(retryIn);
        it.opens(n + 2);
        it.hears(n + 2, listenerComplete);
        return Math.round(retryIn / 1_000);
      });
      assert.deepEqual(told, waits, `up for ${lived} ms each time`);
    }
  });

  it('counts no loss of long ago when a refresh has come between', () => {
    const it = new Stage(LISTENER, { random: () => 1 - 1e-9 });
    it.begin(joined);
    it.pass(detail(it.tell({ type: 'closed', socket: 1 }), 'reconnecting').retryIn);
    it.opens(2);
    it.hears(2, listenerComplete);
    it.pass(4_000);
    it.hears(2, stage.refreshRequired('t'));
    it.opens(3);
    it.hears(3, listenerComplete);
    const { attempt, retryIn } = detail(it.tell({ type: 'closed', socket: 3 }), 'reconnecting');
    assert.deepEqual([attempt, Math.round(retryIn)], [1, 1_000]);
  });

  it('gives up after two hours', () => {
    const it = new Stage(LISTENER);
    it.begin(joined);
    it.tell({ type: 'closed', socket: 1 });
    const effects = it.pass(7_300_000);
    assert.deepEqual(names(effects).slice(-2), ['reconnectFailed', 'closed']);
  });

  for (const [code, reason, why] of [
    [1000, '', undefined],
    [1000, 'Normal closure', undefined],
    [1000, 'superseded', 'superseded'],
    [1001, '', undefined],
    [1002, '', 'protocolBroken'],
    [1003, '', 'protocolBroken'],
    [1005, '', undefined],
    [1006, '', undefined],
    [undefined, '', undefined],
    [1007, '', 'protocolBroken'],
    [1008, '', 'refused'],
    [1009, '', 'messageTooLarge'],
    [1011, '', undefined],
    [1012, '', undefined],
    [1013, '', undefined],
    [1013, 'slow consumer', undefined],
    [4321, '', undefined],
  ]) {
    it(`${why ? 'stays away' : 'comes back'} after close ${code} ${reason}`, () => {
      const it = new Stage(LISTENER);
      it.begin(joined);
      const effects = it.tell({ type: 'closed', socket: 1, code, reason });
      assert.equal(detail(effects, 'closed')?.reason, why);
      assert.equal(names(effects)[0], why ? 'closed' : 'reconnecting');
    });
  }
});

describe('a close with 1000 that says nothing else', () => {
  it('is no end before the server says that the session is over', () => {
    const it = new Stage(LISTENER);
    it.begin(joined);
    it.tell({ type: 'closed', socket: 1, code: 1000 });
    it.pass(1_000);
    it.opens(2);
    // So it is with the connection that is to come, too.
    assert.deepEqual(names(it.tell({ type: 'closed', socket: 2, code: 1000 })), ['reconnecting']);
    it.pass(3_000);
    it.opens(3);
    const effects = it.hears(3, error('SESSION_NOT_FOUND'));
    assert.deepEqual(names(effects), ['reconnectFailed', 'closed']);
  });

  it('is one to a speaker who leaves', () => {
    const it = new Stage(SPEAKER);
    it.begin(created);
    it.tell({ type: 'end' });
    const effects = it.tell({ type: 'closed', socket: 1, code: 1000 });
    assert.deepEqual(names(effects), ['closed']);
    assert.equal(detail(effects, 'closed').why, 'left');
  });
});

describe('refreshing', () => {
  it('makes before it breaks', () => {
    const it = new Stage(LISTENER);
    it.begin(joined);
    it.tell({ type: 'binary', socket: 1, bytes: frame(1) });
    assert.deepEqual(names(it.hears(1, stage.refreshRequired('t'))), ['refreshing']);
    it.opens(2);
    assert.deepEqual(names(it.tell({ type: 'binary', socket: 1, bytes: frame(2) })), ['audio']);
    const effects = it.hears(2, { ...listenerComplete, replayed: 1 });
    assert.deepEqual(only(effects, 'close'), [{ type: 'close', socket: 1, code: 1000 }]);
    assert.deepEqual(detail(effects, 'refreshed'), { replayed: 1 });
    assert.deepEqual(names(it.tell({ type: 'binary', socket: 2, bytes: frame(2) })), []);
    assert.deepEqual(names(it.tell({ type: 'binary', socket: 1, bytes: frame(3) })), []);
    assert.deepEqual(names(it.tell({ type: 'binary', socket: 2, bytes: frame(3) })), ['audio']);
    it.tell({ type: 'closed', socket: 1, code: 1000, reason: 'superseded' });
    assert.equal(it.machine.isDone, false);
  });

  it('is tried again at 1, 2, 4 … 30 s while the old connection lives', () => {
    const it = new Stage(SPEAKER);
    it.begin(created);
    it.hears(1, stage.refreshRequired());
    const waits = [];
    for (let socket = 2; socket < 9; socket += 1) {
      const effects = it.tell({
        type: 'failed',
        socket,
        failure: { kind: 'unreachable', message: '' },
      });
      const { retryIn } = detail(effects, 'refreshFailed');
      waits.push(retryIn / 1_000);
      assert.equal(sequences(it.say(socket)).length, 1, 'the old one serves');
      for (let passed = 0; passed < retryIn; passed += 1_000) {
        it.hears(1, { type: 'heartbeatAck' });
        it.pass(1_000);
      }
    }
    assert.deepEqual(waits, [1, 2, 4, 8, 16, 30, 30]);
    it.opens(9);
    assert.deepEqual(names(it.hears(9, speakerComplete(7))), ['refreshed']);
  });

  it('has a time limit', () => {
    const it = new Stage(LISTENER, { timing: { pingAfter: 60_000 } });
    it.begin(joined);
    it.hears(1, stage.refreshRequired('t'));
    it.opens(2);
    const effects = it.pass(10_000);
    assert.deepEqual(only(effects, 'abort'), [{ type: 'abort', socket: 2 }]);
    assert.equal(detail(effects, 'refreshFailed').retryIn, 1_000);
  });

  it('does not insist after a refusal that would be the same again', () => {
    const it = new Stage(SPEAKER, { timing: { pingAfter: 9e9 } });
    it.begin(created);
    it.hears(1, stage.refreshRequired());
    it.opens(2);
    const effects = it.hears(2, error('UNAUTHORIZED'));
    assert.equal(detail(effects, 'refreshFailed').retryIn, undefined);
    assert.deepEqual(opens(it.pass(600_000)), []);
    assert.equal(sequences(it.say(1)).length, 1);
  });

  it('goes on with its second connection when the first one dies', () => {
    const it = new Stage(SPEAKER);
    it.begin(created);
    it.say(1);
    it.hears(1, stage.refreshRequired());
    const effects = it.tell({ type: 'closed', socket: 1 });
    assert.equal(detail(effects, 'reconnecting').retryIn, 0);
    assert.deepEqual(opens(effects), []);
    it.opens(2);
    const back = it.hears(2, speakerComplete(undefined));
    assert.deepEqual(detail(back, 'reconnected'), { replayed: 1 });
    assert.deepEqual(sequences(back), [1]);
  });

  it('does not take a lost answer for the end', () => {
    const it = new Stage(SPEAKER, { canPing: true });
    it.begin(created);
    it.hears(1, stage.refreshRequired());
    // The server has moved the speaker to socket 2, but says so to nobody: frames on socket 1 are
    // thrown away from now on, while its pings are answered.
    it.say(1);
    for (let n = 0; n < 9; n += 1) {
      it.pass(1_000);
      it.tell({ type: 'pong', socket: 1 });
    }
    it.say(2);
    const effects = it.tell({ type: 'closed', socket: 1, code: 1000, reason: 'superseded' });
    assert.deepEqual(names(effects), ['reconnecting']);
    it.opens(2);
    assert.deepEqual(sequences(it.hears(2, speakerComplete())), [1, 2]);
  });

  it('asks whether only the answer was lost', () => {
    const it = new Stage(SPEAKER, { canPing: true });
    it.begin(created);
    it.hears(1, stage.refreshRequired());
    const asked = texts(it.tell({ type: 'closed', socket: 2 }));
    assert.deepEqual(asked, [{ action: 'heartbeat' }]);
    const effects = it.hears(1, error('CONNECTION_NOT_FOUND'));
    assert.deepEqual(effects[0], { type: 'abort', socket: 1 });
    assert.deepEqual(names(effects), ['reconnecting']);
  });

  it('hears of it by CONNECTION_NOT_FOUND too', () => {
    const listener = new Stage(LISTENER);
    listener.begin(joined);
    assert.equal(opens(listener.hears(1, error('CONNECTION_NOT_FOUND'))).length, 1);
    // A speaker may have been superseded by another program, so it waits for that close.
    const speaker = new Stage(SPEAKER, { timing: { pingAfter: 9e9 } });
    speaker.begin(created);
    assert.deepEqual(opens(speaker.hears(1, error('CONNECTION_NOT_FOUND'))), []);
    assert.equal(opens(speaker.pass(31_000)).length, 1);
  });
});
