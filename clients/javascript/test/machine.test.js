/** Whole conversations without a socket or a clock. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { parseFrame } from '../src/wire.js';
import * as stage from './support/stage.js';

const { Stage, SESSION, STATE, SPEAKER, LISTENER, created, joined } = stage;
const { names, detail, texts, opens, only, listenerComplete, speakerComplete } = stage;

const sequences = (effects) => only(effects, 'audio').map(({ data }) => parseFrame(data).sequence);
const frame = (sequence, byte = 7) =>
  Uint8Array.from([
    1,
    1,
    101,
    110,
    0,
    0,
    sequence >> 8,
    sequence & 255,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    1,
    byte,
  ]);
const error = (code, details) => ({ type: 'error', code, message: 'no', details });

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
    for (const [lived, attempt] of [
      [1_000, 2],
      [2_000, 1],
    ]) {
      const it = new Stage(LISTENER, { random: () => 0 });
      it.begin(joined);
      it.tell({ type: 'closed', socket: 1 });
      it.opens(2);
      it.hears(2, listenerComplete);
      for (let passed = 0; passed < lived; passed += 1_000) {
        it.pass(1_000);
        it.hears(2, { type: 'heartbeatAck' });
      }
      assert.equal(detail(it.tell({ type: 'closed', socket: 2 }), 'reconnecting').attempt, attempt);
    }
  });

  it('gives up after two hours', () => {
    const it = new Stage(LISTENER);
    it.begin(joined);
    it.tell({ type: 'closed', socket: 1 });
    const effects = it.pass(7_300_000);
    assert.deepEqual(names(effects).slice(-2), ['reconnectFailed', 'closed']);
  });

  for (const [code, reason, why] of [
    [1000, '', 'finished'],
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

describe('signs of life', () => {
  /** Runs a machine against a server that answers what it likes. */
  function live(role, welcome, answers, { canPing = false, until = 600_000 } = {}) {
    const it = new Stage(role, { canPing, random: Math.random });
    it.begin(welcome);
    const log = [];
    for (;;) {
      const at = it.machine.deadline;
      if (at === undefined || at > until || log.at(-1)?.[1] === 'lost') return log;
      it.now = at;
      for (const effect of it.tell({ type: 'tick' })) {
        if (effect.type === 'ping') log.push([at - 1_000, 'ping']);
        if (effect.type === 'text') log.push([at - 1_000, JSON.parse(effect.text).action]);
        if (effect.type === 'abort') log.push([at - 1_000, 'lost']);
        if (effect.type === 'ping' && answers) it.tell({ type: 'pong', socket: 1 });
        if (effect.type === 'text' && answers) it.hears(1, answers[log.at(-1)[1]]);
      }
    }
  }
  const answers = {
    heartbeat: { type: 'heartbeatAck' },
    changeLanguage: { type: 'languageChanged', targetLanguage: 'es' },
    getSessionStatus: {
      type: 'sessionStatus',
      listenerCount: 0,
      languageDistribution: {},
      sessionDuration: 1,
      broadcastState: STATE,
      updateReason: 'requested',
    },
  };

  for (const canPing of [true, false]) {
    const how = canPing ? 'by ping' : 'by an answer';
    it(`misses a silent server within ten seconds, ${how}`, () => {
      const log = live(LISTENER, joined, undefined, { canPing });
      assert.deepEqual(log, [
        [5_000, canPing ? 'ping' : 'heartbeat'],
        [10_000, 'lost'],
      ]);
    });
    it(`never misses one that answers ${how}, and sends a heartbeat every half minute`, () => {
      for (const [role, welcome] of [
        [LISTENER, joined],
        [SPEAKER, created],
      ]) {
        const log = live(role, welcome, answers, { canPing });
        assert.ok(log.every(([, what]) => what !== 'lost'));
        const beats = log.filter(([, what]) => what === 'heartbeat').map(([at]) => at);
        const spans = beats.slice(1).map((at, n) => at - beats[n]);
        assert.ok(
          spans.every((span) => span <= 31_500),
          String(spans),
        );
        if (canPing)
          assert.ok(
            spans.every((span) => span >= 28_500),
            String(spans),
          );
      }
    });
  }

  it('never sends more heartbeats than the server allows', () => {
    for (let run = 0; run < 50; run += 1) {
      const log = live(LISTENER, joined, answers);
      let [tokens, at] = [4, 0];
      for (const [time, what] of log.filter(([, what]) => what === 'heartbeat')) {
        tokens = Math.min(4, tokens + (time - at) / 30_000) - 1;
        at = time;
        // The jitter of a beat may run ahead of the bucket by a twentieth, no more.
        assert.ok(tokens > -0.05, `${what} at ${time}`);
      }
    }
  });

  it('tells a speaker what has arrived, so that little is sent again', () => {
    for (const [canPing, most] of [
      [true, 300],
      [false, 500],
    ]) {
      const it = new Stage(SPEAKER, { canPing });
      it.begin(created);
      for (let n = 0; n < 3_000; n += 1) {
        for (const effect of [...it.say(1), ...it.pass(20)]) {
          if (effect.type === 'audio') it.tell({ type: 'written', socket: 1, frames: 1 });
          if (effect.type === 'ping') it.tell({ type: 'pong', socket: 1 });
          if (effect.type === 'text') it.hears(1, answers[JSON.parse(effect.text).action]);
        }
      }
      it.tell({ type: 'closed', socket: 1 });
      it.pass(1_000);
      it.opens(2);
      const { replayed } = detail(it.hears(2, speakerComplete()), 'reconnected');
      assert.ok(replayed >= 100 && replayed <= most, `${replayed} frames`);
    }
  });

  it('asks first after a sleep of ours', () => {
    const it = new Stage(LISTENER);
    it.begin(joined);
    it.now += 600_000;
    const effects = it.tell({ type: 'tick' });
    assert.deepEqual(only(effects, 'abort'), []);
    assert.ok(texts(effects).length > 0);
  });

  it('tells of its own questions only what is new', () => {
    const it = new Stage(SPEAKER);
    it.begin(created);
    const told = [];
    const answer = { ...answers.getSessionStatus };
    for (let second = 0; second < 100; second += 1) {
      if (second === 50) answer.listenerCount = 9;
      const asked = texts(it.pass(1_000)).map(({ action }) => action);
      for (const action of asked) {
        const effects = it.hears(1, action === 'getSessionStatus' ? answer : answers[action]);
        for (const { name, detail } of stage.events(effects)) told.push([name, detail.listeners]);
      }
    }
    assert.ok(told.length >= 3 && told.length <= 6, JSON.stringify(told));
    assert.deepEqual(told.at(0), ['status', 0]);
    assert.deepEqual(told.at(-1), ['status', 9]);
    it.tell({ type: 'status' });
    assert.equal(detail(it.hears(1, answer), 'status').reason, 'requested');
  });
});

describe('speaking', () => {
  it('numbers frames, keeps them, and sends again what was not heard', () => {
    const it = new Stage(SPEAKER);
    it.begin(created);
    assert.deepEqual(
      [1, 2, 3, 4, 5].flatMap((n) => sequences(it.say(n))),
      [1, 2, 3, 4, 5],
    );
    it.tell({ type: 'closed', socket: 1 });
    assert.deepEqual(sequences(it.say(6)), []);
    it.pass(1_000);
    it.opens(2);
    const effects = it.hears(2, speakerComplete(3));
    assert.deepEqual(detail(effects, 'reconnected'), { replayed: 2 });
    assert.deepEqual(sequences(effects), [4, 5, 6]);
  });

  it('keeps thirty seconds while it is not connected', () => {
    const it = new Stage(SPEAKER);
    it.begin(created);
    it.tell({ type: 'closed', socket: 1 });
    let dropped = 0;
    for (let n = 0; n < 2_000; n += 1) {
      const effects = it.say(n & 255);
      dropped += detail(effects, 'dropped')?.frames ?? 0;
      it.now += 20;
    }
    assert.equal(dropped, 499);
  });

  it('catches up no faster than the server allows', () => {
    const it = new Stage(SPEAKER, { timing: { framesInFlight: 1e9 } });
    it.begin(created);
    it.tell({ type: 'closed', socket: 1 });
    for (let n = 0; n < 1_000; n += 1) it.say(1);
    it.pass(1_000);
    it.opens(2);
    assert.equal(sequences(it.hears(2, speakerComplete(undefined))).length, 150);
    assert.equal(sequences(it.pass(1_000)).length, 90);
  });

  it('holds back while the line is stalled', () => {
    const it = new Stage(SPEAKER);
    it.begin(created);
    const out = Array.from({ length: 100 }, () => sequences(it.say(1)).length);
    assert.equal(
      out.reduce((sum, n) => sum + n),
      64,
    );
    assert.equal(sequences(it.tell({ type: 'written', socket: 1, frames: 10 })).length, 10);
  });

  it('says nothing while it is paused or muted, and leaves no hole', () => {
    const it = new Stage(SPEAKER);
    it.begin(created);
    it.say(1);
    const effects = it.tell({ type: 'control', control: 'pause', message: 'Back soon' });
    assert.deepEqual(texts(effects), [
      { action: 'controlSession', command: 'pause', message: 'Back soon' },
    ]);
    assert.deepEqual(sequences(it.say(2)), []);
    it.hears(1, { type: 'broadcastState', broadcastState: { ...STATE, isPaused: true } });
    it.tell({ type: 'control', control: 'resume' });
    assert.deepEqual(sequences(it.say(3)), [], 'not before the server takes it');
    const resumed = it.hears(1, { type: 'broadcastState', broadcastState: STATE });
    assert.deepEqual(sequences(resumed), [2]);
    assert.deepEqual(names(resumed), ['state']);
  });

  it('keeps a wish until there is a connection', () => {
    const it = new Stage(SPEAKER);
    it.begin(created);
    it.tell({ type: 'closed', socket: 1 });
    it.tell({ type: 'control', control: 'mute' });
    it.tell({ type: 'status' });
    it.pass(1_000);
    it.opens(2);
    assert.deepEqual(texts(it.hears(2, speakerComplete())), [
      { action: 'controlSession', command: 'mute' },
      { action: 'getSessionStatus' },
    ]);
  });

  it('says what is still to be said before it ends', () => {
    const it = new Stage(SPEAKER);
    it.begin(created);
    for (let n = 0; n < 70; n += 1) it.say(1);
    assert.deepEqual(texts(it.tell({ type: 'end', reason: 'Amen' })), []);
    const effects = it.tell({ type: 'written', socket: 1, frames: 64 });
    assert.equal(sequences(effects).length, 6);
    assert.deepEqual(effects.at(-1), {
      type: 'text',
      socket: 1,
      text: '{"action":"endSession","reason":"Amen"}',
    });
    const last = it.hears(1, { type: 'sessionEnded', reason: 'speakerEnded', message: 'over' });
    assert.deepEqual(names(last), ['ended', 'closed']);
    assert.equal(detail(last, 'closed').why, 'ended');
  });

  it('ends by itself when the server does not answer', () => {
    const it = new Stage(SPEAKER, { timing: { pingAfter: 9e9 } });
    it.begin(created);
    it.tell({ type: 'end' });
    const effects = it.pass(10_000);
    assert.deepEqual(only(effects, 'close'), [{ type: 'close', socket: 1, code: 1000 }]);
    assert.equal(detail(effects, 'closed').why, 'left');
  });

  it('tells the end again that a superseded connection may have swallowed', () => {
    const it = new Stage(SPEAKER);
    it.begin(created);
    it.hears(1, stage.refreshRequired());
    assert.deepEqual(texts(it.tell({ type: 'end' })), [{ action: 'endSession' }]);
    it.opens(2);
    const effects = it.hears(2, speakerComplete());
    assert.deepEqual(only(effects, 'text'), [
      { type: 'text', socket: 2, text: '{"action":"endSession"}' },
    ]);
  });

  it('speaks JSON where there is no subprotocol', () => {
    const it = new Stage(SPEAKER);
    it.tell({ type: 'start' });
    it.opens(1, 'json');
    it.hears(1, created);
    const [effect] = only(it.say([1, 2, 3]), 'audio');
    assert.deepEqual(JSON.parse(effect.data), {
      action: 'sendAudio',
      audioData: 'AQID',
      sequence: 1,
    });
  });
});

describe('listening', () => {
  it('removes duplicates and tells gaps', () => {
    const it = new Stage(LISTENER);
    it.begin(joined);
    const heard = [5, 6, 6, 5, 9].map((n) =>
      it.tell({ type: 'binary', socket: 1, bytes: frame(n) }),
    );
    assert.deepEqual(heard.map(names), [['audio'], ['audio'], [], [], ['gap', 'audio']]);
    assert.deepEqual(detail(heard[4], 'gap'), { frames: 2 });
  });

  it('hears JSON too', () => {
    const it = new Stage(LISTENER);
    it.begin(joined);
    const message = { type: 'audioData', language: 'en', sequence: 4, audioData: 'AQID' };
    const { payload } = detail(it.hears(1, message), 'audio');
    assert.deepEqual([...payload], [1, 2, 3]);
    assert.deepEqual(names(it.hears(1, { ...message, sequence: 5, audioData: '~' })), []);
  });

  it('changes its language, now or when it is back', () => {
    const it = new Stage(LISTENER);
    it.begin(joined);
    const effects = it.tell({ type: 'changeLanguage', target: 'de' });
    assert.deepEqual(texts(effects), [{ action: 'changeLanguage', targetLanguage: 'de' }]);
    const changed = it.hears(1, { type: 'languageChanged', targetLanguage: 'de' });
    assert.deepEqual(detail(changed, 'languageChanged'), { targetLanguage: 'de' });
    it.tell({ type: 'closed', socket: 1 });
    it.tell({ type: 'changeLanguage', target: 'fr' });
    assert.equal(opens(it.pass(1_000))[0].query.targetLanguage, 'fr');
  });

  it('passes notices on', () => {
    const it = new Stage(LISTENER);
    it.begin(joined);
    const turn = { broadcastState: STATE, message: 'm', reason: 'speakerLost' };
    for (const [type, name] of [
      ['sessionPaused', 'paused'],
      ['sessionResumed', 'resumed'],
      ['sessionMuted', 'muted'],
      ['sessionUnmuted', 'unmuted'],
    ]) {
      const effects = it.hears(1, { type, ...turn });
      assert.deepEqual(detail(effects, name), {
        state: STATE,
        message: 'm',
        reason: 'speakerLost',
      });
    }
    const warning = { type: 'connectionWarning', message: 'soon', remainingMinutes: 15 };
    assert.equal(detail(it.hears(1, warning), 'warning').remainingMinutes, 15);
    assert.equal(detail(it.hears(1, error('FORBIDDEN')), 'error').code, 'FORBIDDEN');
  });

  it('passes no notice on that was overtaken', () => {
    const it = new Stage(LISTENER);
    const turn = (socket, type, lastStateChange) =>
      names(it.hears(socket, { type, broadcastState: { ...STATE, lastStateChange } }));
    it.begin({ ...joined, broadcastState: { ...STATE, lastStateChange: 2 } });
    assert.deepEqual(turn(1, 'sessionPaused', 1), []);
    assert.deepEqual(turn(1, 'sessionUnmuted', 4), ['unmuted']);
    assert.deepEqual(turn(1, 'sessionMuted', 3), []);
    assert.deepEqual(turn(1, 'broadcastState', 3), []);
    assert.deepEqual(turn(1, 'sessionUnmuted', 4), ['unmuted'], 'told again');
    // It may come on the next connection too.
    it.hears(1, stage.refreshRequired('t'));
    it.opens(2);
    it.hears(2, listenerComplete);
    assert.deepEqual(turn(2, 'sessionMuted', 3), []);
    assert.deepEqual(turn(2, 'sessionPaused', 5), ['paused']);
  });

  it('ignores what it does not know and what cannot be read', () => {
    const it = new Stage(LISTENER);
    it.begin(joined);
    for (const text of [
      '',
      '{',
      'null',
      '7',
      '[]',
      '{"type":7}',
      '{"type":"ofALaterVersion"}',
      '{"type":"toString"}',
      '{"type":"sessionPaused"}',
      '{"type":"sessionEnded"}',
      '{"type":"error"}',
      '{"type":"audioData","language":"en","sequence":-1,"audioData":"AQID"}',
      '{"type":"connectionRefreshRequired","reason":1}',
      JSON.stringify(joined),
    ]) {
      assert.deepEqual(it.tell({ type: 'text', socket: 1, text }), [], text);
    }
    for (const bytes of [
      [],
      [1],
      frame(1).slice(0, 16),
      frame(1).fill(2, 0, 1),
      frame(1).fill(9, 1, 2),
    ]) {
      assert.deepEqual(it.tell({ type: 'binary', socket: 1, bytes: Uint8Array.from(bytes) }), []);
    }
  });

  it('leaves at once', () => {
    const it = new Stage(LISTENER);
    it.begin(joined);
    const effects = it.tell({ type: 'leave' });
    assert.deepEqual(only(effects, 'close'), [{ type: 'close', socket: 1, code: 1000 }]);
    assert.equal(detail(effects, 'closed').why, 'left');
    assert.deepEqual(it.tell({ type: 'start' }), []);
    assert.equal(it.machine.deadline, undefined);
  });
});
