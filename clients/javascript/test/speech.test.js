/** What is said and heard, over whatever connections there are. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import * as stage from './support/stage.js';

const { Stage, STATE, SPEAKER, LISTENER, created, joined } = stage;
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

  it('is told the end once that comes at the last moment', () => {
    const it = new Stage(SPEAKER, { timing: { pingAfter: 9e9 } });
    it.begin(created);
    it.tell({ type: 'end' });
    it.now += 10_000;
    const effects = it.hears(1, { type: 'sessionEnded', reason: 'speakerEnded', message: 'over' });
    assert.deepEqual(names(effects), ['ended', 'closed']);
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
