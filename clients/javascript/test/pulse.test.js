/** How a dead line is told from a quiet one, and what the answers tell besides. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import * as stage from './support/stage.js';

const { Stage, STATE, SPEAKER, LISTENER, created, joined } = stage;
const { detail, texts, only, speakerComplete } = stage;

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
