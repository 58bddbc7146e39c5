/** What is said on a connection that the server has already left, and what is not known of it. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import * as stage from './support/stage.js';

const { Stage, SESSION, STATE, SPEAKER, LISTENER, created, joined } = stage;
const { names, detail, texts, opens, only, error, speakerComplete } = stage;

const PAUSED = { ...STATE, isPaused: true };
const stateIs = (broadcastState) => ({ type: 'broadcastState', broadcastState });
const close = (socket) => ({ type: 'close', socket, code: 1000 });

/** A member on its first connection, which lives however long the test takes. */
function begun(role, { canPing = false } = {}) {
  const it = new Stage(role, { canPing, timing: { pingAfter: 9e9, confirmAfter: 9e9 } });
  it.begin(role === SPEAKER ? created : joined);
  return it;
}

function moving(role) {
  const it = begun(role);
  it.hears(1, stage.refreshRequired('t'));
  it.opens(2);
  return it;
}

describe('what a superseded connection has swallowed', () => {
  it('is the question who listens, which is asked again', () => {
    const it = moving(SPEAKER);
    assert.deepEqual(texts(it.tell({ type: 'status' })), [{ action: 'getSessionStatus' }]);
    it.hears(1, error('CONNECTION_NOT_FOUND'));
    assert.deepEqual(texts(it.hears(2, speakerComplete())), [{ action: 'getSessionStatus' }]);
  });

  it('is a wish, which is told again with its words', () => {
    const it = moving(SPEAKER);
    it.tell({ type: 'control', control: 'pause', message: 'Back soon' });
    assert.deepEqual(texts(it.hears(2, speakerComplete())), [
      { action: 'controlSession', command: 'pause', message: 'Back soon' },
    ]);
  });

  it('is the answer to a wish, which is told all the same', () => {
    const it = moving(SPEAKER);
    it.tell({ type: 'control', control: 'pause' });
    const effects = it.hears(2, { ...speakerComplete(), broadcastState: PAUSED });
    assert.deepEqual(names(effects), ['state', 'refreshed']);
    assert.deepEqual(texts(effects), []);
  });

  it('is the end, whose time begins anew', () => {
    const it = begun(SPEAKER);
    it.tell({ type: 'end' });
    it.pass(9_000);
    it.tell({ type: 'closed', socket: 1 });
    it.pass(5_000);
    it.opens(2);
    assert.deepEqual(texts(it.hears(2, speakerComplete())), [{ action: 'endSession' }]);
  });

  it('is the end, which waits for the new connection', () => {
    const it = moving(SPEAKER);
    it.tell({ type: 'end' });
    it.hears(1, error('CONNECTION_NOT_FOUND'));
    // The answer on the second socket never comes; the heartbeat tells that it was lost.
    it.pass(10_000);
    it.hears(1, error('CONNECTION_NOT_FOUND'));
    it.pass(1_000);
    it.opens(3);
    assert.deepEqual(texts(it.hears(3, speakerComplete())), [{ action: 'endSession' }]);
  });

  it('is a close as superseded, which is of its own doing', () => {
    // Whatever the server has answered to the second connection of a listener without a record.
    for (const answer of [undefined, error('RATE_LIMIT_EXCEEDED', { retryAfter: 60 })]) {
      const it = begun(LISTENER);
      assert.equal(opens(it.hears(1, error('CONNECTION_NOT_FOUND'))).length, 1);
      if (answer) it.hears(2, answer);
      assert.deepEqual(names(it.hears(1, error('CONNECTION_NOT_FOUND'))), [], 'it waits');
      const effects = it.tell({ type: 'closed', socket: 1, code: 1000, reason: 'superseded' });
      assert.deepEqual(names(effects), ['reconnecting']);
    }
  });

  it('is the end of the session, so who has no record believes the refusal', () => {
    for (const role of [LISTENER, SPEAKER]) {
      // To the others it will be told.
      assert.deepEqual(names(moving(role).hears(2, error('SESSION_NOT_FOUND'))), ['refreshFailed']);
      const it = begun(role);
      it.hears(1, error('CONNECTION_NOT_FOUND'));
      it.pass(role === SPEAKER ? 31_000 : 0);
      it.opens(2);
      const effects = it.hears(2, error('SESSION_NOT_FOUND'));
      assert.deepEqual(names(effects), ['refreshFailed', 'closed']);
      assert.equal(detail(effects, 'closed').failure.status, 404);
    }
  });

  it('is a farewell, so who leaves says it on both connections', () => {
    const effects = moving(SPEAKER).tell({ type: 'leave' });
    assert.deepEqual(only(effects, 'close'), [close(1), close(2)]);
    const it = begun(SPEAKER);
    it.tell({ type: 'closed', socket: 1 });
    it.pass(1_000);
    it.opens(2);
    assert.deepEqual(only(it.tell({ type: 'leave' }), 'close'), [close(2)]);
  });
});

describe('wishes', () => {
  it('are answered by an answer that was overtaken, which is not the state', () => {
    const it = begun(SPEAKER);
    for (const control of ['pause', 'resume']) it.tell({ type: 'control', control });
    const first = it.hears(1, stateIs({ ...STATE, lastStateChange: 3 }));
    assert.deepEqual(names(first), ['state']);
    const overtaken = { ...PAUSED, lastStateChange: 2 };
    assert.deepEqual(names(it.hears(1, stateIs(overtaken))), []);
    // Both commands are answered: no wish is left, and nothing is told again.
    assert.equal(only(it.say(1), 'audio').length, 1);
    it.hears(1, stage.refreshRequired('t'));
    it.opens(2);
    const moved = it.hears(2, { ...speakerComplete(1), broadcastState: overtaken });
    assert.deepEqual([names(moved), texts(moved)], [['refreshed'], []]);
    assert.equal(only(it.say(2), 'audio').length, 1);
  });

  it('are not confirmed by an older answer', () => {
    const it = begun(SPEAKER);
    for (const control of ['pause', 'resume', 'pause']) it.tell({ type: 'control', control });
    it.hears(1, stateIs(PAUSED));
    it.hears(1, stateIs(STATE));
    assert.deepEqual(only(it.say(1), 'audio'), [], 'the server has paused again, or is about to');
    it.hears(1, stateIs(PAUSED));
    it.tell({ type: 'control', control: 'resume' });
    it.hears(1, stateIs(STATE));
    assert.equal(only(it.say(2), 'audio').length, 1);
  });

  it('are not forgotten for a frame too many', () => {
    const it = begun(SPEAKER);
    it.tell({ type: 'control', control: 'pause' });
    it.hears(1, error('RATE_LIMIT_EXCEEDED', { operation: 'audio', retryAfter: 1 }));
    assert.deepEqual(only(it.say(1), 'audio'), [], 'the server will not take it');
  });

  it('are waited for by the end, and what is said for them is said', () => {
    for (const [control, undo] of [
      ['pause', 'resume'],
      ['mute', 'unmute'],
    ]) {
      for (const isLost of [false, true]) {
        const it = begun(SPEAKER);
        const off = control === 'pause' ? PAUSED : { ...STATE, isMuted: true };
        it.tell({ type: 'control', control });
        it.hears(1, stateIs(off));
        it.tell({ type: 'control', control: undo });
        it.say(1);
        assert.deepEqual(it.tell({ type: 'end' }), [], 'the server does not take it yet');
        if (isLost) {
          it.tell({ type: 'closed', socket: 1 });
          it.pass(1_000);
          it.opens(2);
          const told = texts(it.hears(2, { ...speakerComplete(), broadcastState: off }));
          assert.deepEqual(told, [{ action: 'controlSession', command: undo }]);
        }
        const effects = it.hears(isLost ? 2 : 1, stateIs(STATE));
        assert.equal(only(effects, 'audio').length, 1);
        assert.deepEqual(texts(effects), [{ action: 'endSession' }]);
      }
    }
  });

  it('keep the end back no longer than they are wished for', () => {
    const waiting = () => {
      const it = begun(SPEAKER);
      it.hears(1, stateIs(PAUSED));
      it.tell({ type: 'control', control: 'resume' });
      it.say(1);
      it.tell({ type: 'end' });
      return it;
    };
    const refused = waiting().hears(1, error('RATE_LIMIT_EXCEEDED', { operation: 'control' }));
    assert.deepEqual(texts(refused), [{ action: 'endSession' }]);
    assert.deepEqual(detail(refused, 'dropped'), { frames: 1 });
    const effects = waiting().pass(30_000);
    assert.deepEqual(only(effects, 'close'), [close(1)]);
    assert.equal(detail(effects, 'closed').why, 'left');
  });

  it('for a language are told in their order, and the last one holds', () => {
    let it = begun(LISTENER);
    const asked = ['de', 'es'].flatMap((target) =>
      texts(it.tell({ type: 'changeLanguage', target })),
    );
    assert.deepEqual(
      asked.map(({ targetLanguage }) => targetLanguage),
      ['de', 'es'],
    );
    // A refusal of one is none of the next, and comes before its answer.
    for (const [code, details] of [
      ['UNSUPPORTED_LANGUAGE', { languageCode: 'zz' }],
      ['RATE_LIMIT_EXCEEDED', undefined],
    ]) {
      it = begun(LISTENER);
      for (const target of ['zz', 'de']) it.tell({ type: 'changeLanguage', target });
      it.hears(1, error(code, details));
      it.hears(1, { type: 'languageChanged', targetLanguage: 'de' });
      const [open] = opens(it.hears(1, stage.refreshRequired('t')));
      assert.equal(open.query.targetLanguage, 'de', code);
    }
  });

  it('for a language that is refused on the way back cost no seat', () => {
    for (const isLost of [true, false]) {
      const it = begun(LISTENER);
      it.tell({ type: 'changeLanguage', target: 'zz' });
      if (isLost) it.tell({ type: 'closed', socket: 1 });
      else it.hears(1, stage.refreshRequired('t'));
      it.pass(1_000);
      it.opens(2);
      const effects = it.hears(2, error('UNSUPPORTED_LANGUAGE', { languageCode: 'zz' }));
      assert.deepEqual(names(effects), ['error', isLost ? 'reconnecting' : 'refreshFailed']);
      assert.equal(opens(it.pass(1_000)).at(-1).query.targetLanguage, 'es');
    }
  });
});

describe('a refresh that failed', () => {
  it('has moved nobody when it was refused', () => {
    const it = moving(SPEAKER);
    const details = { operation: 'connect', retryAfter: 60 };
    assert.deepEqual(texts(it.hears(2, error('RATE_LIMIT_EXCEEDED', details))), []);
    // So it is another program that has taken the session up.
    const effects = it.tell({ type: 'closed', socket: 1, code: 1000, reason: 'superseded' });
    assert.equal(detail(effects, 'closed').reason, 'superseded');
  });

  it('may have moved somebody when the server was at fault', () => {
    const it = moving(SPEAKER);
    const details = { service: 'store', retryAfter: 60 };
    const asked = texts(it.hears(2, error('SERVICE_UNAVAILABLE', details)));
    assert.deepEqual(asked, [{ action: 'heartbeat' }]);
    const effects = it.tell({ type: 'closed', socket: 1, code: 1000, reason: 'superseded' });
    assert.deepEqual(names(effects), ['reconnecting']);
  });

  it('waits as long as there is a reason to, whoever wakes it', () => {
    const it = moving(LISTENER);
    it.hears(2, error('SERVICE_UNAVAILABLE', { service: 'store', retryAfter: 20 }));
    it.tell({ type: 'wake' });
    it.hears(1, { type: 'heartbeatAck' });
    assert.deepEqual(opens(it.pass(19_999)), []);
    assert.equal(opens(it.pass(1)).length, 1);
    const speaker = begun(SPEAKER);
    speaker.hears(1, error('CONNECTION_NOT_FOUND'));
    speaker.tell({ type: 'wake' });
    speaker.hears(1, { type: 'heartbeatAck' });
    assert.deepEqual(opens(speaker.pass(30_000)), [], 'another program may have taken it up');
  });
});

describe('what was sent', () => {
  it('is not known to have arrived by a refused heartbeat', () => {
    const it = begun(SPEAKER);
    it.say(1);
    it.pass(20_000);
    it.tell({ type: 'wake' });
    it.hears(1, error('RATE_LIMIT_EXCEEDED', { operation: 'heartbeat', retryAfter: 9 }));
    it.tell({ type: 'closed', socket: 1 });
    it.pass(1_000);
    it.opens(2);
    assert.equal(detail(it.hears(2, speakerComplete()), 'reconnected').replayed, 1);
  });

  it('is kept for a moment though it was heard, for a server that is killed then', () => {
    const it = moving(SPEAKER);
    it.say(1);
    it.pass(3_000);
    it.say(2);
    assert.equal(detail(it.hears(2, speakerComplete(2)), 'refreshed').replayed, 0);
    it.tell({ type: 'closed', socket: 2 });
    it.pass(1_000);
    it.opens(3);
    assert.equal(detail(it.hears(3, speakerComplete()), 'reconnected').replayed, 1);
  });

  it('is in a language, whatever the server says', () => {
    const it = new Stage({ ...SPEAKER, sessionId: SESSION });
    it.begin({ ...speakerComplete(), sourceLanguage: 'ʃpråk' });
    const [{ data }] = only(it.say(1), 'audio');
    assert.deepEqual([...data.subarray(2, 4)], [101, 110]);
  });
});
