/** Many random runs of a whole world, each repeatable by its seed. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { LISTENER, SPEAKER } from './support/stage.js';
import { World } from './support/world.js';

const RUNS = 16;
const TALK = 90_000;
const FRAME = 20;

/** A talk of a minute and a half, into which `trouble` comes. */
function talk(seed, trouble) {
  const world = new World(seed);
  const speaker = world.add(SPEAKER);
  world.runUntil(1_000);
  const listeners = [1, 2, 3].map(() => world.add(LISTENER));
  world.runUntil(2_000);
  say(world, speaker, 'configuration', 0);
  const speak = (n) => {
    say(world, speaker, 'audio', n);
    if (n < TALK / FRAME) world.at(world.now + FRAME, () => speak(n + 1));
  };
  world.at(2_000 + FRAME, () => speak(1));
  trouble(world, 3_000, 2_000 + TALK);
  world.runUntil(2_000 + TALK + 60_000);
  return { world, speaker, listeners };
}

function say(world, speaker, kind, n) {
  const payload = new Uint8Array(4);
  new DataView(payload.buffer).setUint32(0, n);
  const capturedMicros = 1_700_000_000_000_000 + Math.round(world.now * 1_000);
  world.tell(speaker, { type: 'send', frame: { kind, capturedMicros, payload } });
}

const heard = ({ events }) =>
  events.filter(({ name }) => name === 'audio').map(({ detail }) => detail);
const number = ({ payload }) => new DataView(payload.buffer, payload.byteOffset).getUint32(0);
const lost = ({ events }, name) =>
  events.filter((event) => event.name === name).reduce((sum, { detail }) => sum + detail.frames, 0);

/** What holds whatever happens: in order, once, and every gap told. */
function holds({ listeners }, seed) {
  for (const listener of listeners) {
    const frames = heard(listener);
    let gaps = 0;
    for (let at = 1; at < frames.length; at += 1) {
      const [before, frame] = [frames[at - 1], frames[at]];
      assert.ok(
        number(frame) > number(before),
        `seed ${seed}: ${number(before)}, ${number(frame)}`,
      );
      gaps += frame.sequence - before.sequence - 1;
    }
    assert.equal(lost(listener, 'gap'), gaps, `seed ${seed}: gaps are told`);
    const configurations = listener.events.filter(({ name }) => name === 'configuration');
    assert.equal(configurations.length, 1, `seed ${seed}: the configuration comes once`);
    assert.equal(number(frames.at(-1)), TALK / FRAME, `seed ${seed}: the last word is heard`);
  }
}

function holdsWhole({ speaker, listeners }, seed) {
  assert.equal(lost(speaker, 'dropped'), 0, `seed ${seed}`);
  for (const listener of listeners) {
    assert.equal(lost(listener, 'gap'), 0, `seed ${seed}`);
    assert.equal(heard(listener).length, TALK / FRAME, `seed ${seed}`);
  }
}

/** Calls `act` at random times. */
function nowAndThen(world, [from, until], [least, most], act) {
  const again = () => {
    if (world.now >= until) return;
    act();
    world.at(world.now + world.between(least, most), again);
  };
  world.at(from + world.between(0, most), again);
}

describe('a world', () => {
  it('in which refreshes never stop loses nothing', () => {
    let refreshes = 0;
    for (let seed = 1; seed <= RUNS; seed += 1) {
      const run = talk(seed, (world, from, until) => {
        nowAndThen(world, [from, until], [50, 400], () => {
          const line = world.pick(world.lines());
          if (line) world.age(line);
        });
      });
      for (const { events } of run.world.members) {
        refreshes += events.filter(({ name }) => name === 'refreshed').length;
      }
      holds(run, seed);
      holdsWhole(run, seed);
    }
    assert.ok(refreshes > 4_000, `${refreshes} refreshes`);
  });

  it('in which the first words fall into a refresh loses nothing', () => {
    for (let seed = 401; seed <= 700; seed += 1) {
      const world = new World(seed);
      const speaker = world.add(SPEAKER);
      world.runUntil(1_000);
      const listener = world.add(LISTENER);
      world.runUntil(2_000);
      world.age(world.lines().find(({ isSeated }) => isSeated));
      const start = world.now + world.between(0, 250);
      for (let n = 1; n <= 30; n += 1)
        world.at(start + n * FRAME, () => say(world, speaker, 'audio', n));
      world.runUntil(10_000);
      assert.equal(heard(listener).length, 30, `seed ${seed}`);
    }
  });

  it('in which the end falls into a refresh is over, after the last word', () => {
    for (let seed = 701; seed <= 1_000; seed += 1) {
      const world = new World(seed);
      const speaker = world.add(SPEAKER);
      world.runUntil(1_000);
      const listener = world.add(LISTENER);
      world.runUntil(2_000);
      world.age(speaker.current);
      const frames = Math.ceil(world.between(1, 25));
      for (let n = 1; n <= frames; n += 1)
        world.at(2_000 + n * FRAME, () => say(world, speaker, 'audio', n));
      world.at(2_000 + frames * FRAME, () => world.tell(speaker, { type: 'end' }));
      // Half of the time a line of the speaker breaks, too, and sometimes nobody hears of it.
      world.at(2_000 + world.between(0, 1_000), () => {
        const line = world.pick(world.lines().filter(({ isSpeaker }) => isSpeaker));
        if (line && seed % 4 === 0) world.cut(line, 1006);
        else if (line && seed % 4 === 1) line.isDark = true;
      });
      world.runUntil(45_000);
      // Not by the close frame of one who has waited in vain.
      assert.equal(world.server.ended, 'endSession', `seed ${seed}`);
      assert.equal(heard(listener).length, frames, `seed ${seed}`);
      const whys = [speaker, listener].map(({ events }) => events.at(-1).detail.why);
      // Whose answer was lost comes back to a session that is over, as it was meant to be.
      assert.match(whys.join(), /^(ended|left),ended$/, `seed ${seed}`);
    }
  });

  it('in which lines break now and then loses nothing', () => {
    for (let seed = 101; seed <= 100 + RUNS; seed += 1) {
      const run = talk(seed, (world, from, until) => {
        nowAndThen(world, [from, until], [2_000, 6_000], () => {
          // One that breaks again within seconds is away for longer than the server keeps.
          const steady = world.lines().filter(({ since }) => since < world.now - 12_000);
          const line = world.pick(steady);
          if (line) world.cut(line, world.pick([undefined, 1000, 1001, 1006, 1011, 1012, 1013]));
        });
      });
      holds(run, seed);
      holdsWhole(run, seed);
    }
  });

  it('in which the server is killed again and again loses nothing that was not long away', () => {
    for (let seed = 201; seed <= 200 + RUNS; seed += 1) {
      const run = talk(seed, (world, from) => {
        for (let n = 0; n < 5; n += 1) {
          world.at(from + 2_000 + n * 15_000, () => world.restart(world.between(100, 1_500)));
        }
      });
      holds(run, seed);
      holdsWhole(run, seed);
    }
  });

  it('in which everything happens keeps the order and tells what is lost', () => {
    for (let seed = 301; seed <= 300 + RUNS; seed += 1) {
      const run = talk(seed, (world, from, until) => {
        nowAndThen(world, [from, until - 20_000], [500, 8_000], () => {
          const line = world.pick(world.lines());
          const what = world.pick(['age', 'age', 'cut', 'dark', 'wake', 'restart']);
          if (what === 'restart' && world.server.isUp) world.restart(world.between(0, 12_000));
          else if (what === 'wake') world.tell(world.pick(world.members), { type: 'wake' });
          else if (line && what === 'age') world.age(line);
          else if (line && what === 'cut') world.cut(line, 1006);
          else if (line && what === 'dark') line.isDark = true;
        });
      });
      holds(run, seed);
    }
  });
});
