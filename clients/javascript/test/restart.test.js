/** The real server is killed and comes back, five times during one talk. */

import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Ambo } from './support/ambo.js';
import { next } from './support/hostile.js';
import { Talk } from './support/talk.js';

const RESTARTS = 5;
/** How long the server is away. */
const AWAY = 700;

/** What a member has waited for longer than a second more than it was away. */
function overlongWaits(member) {
  const waits = [];
  let lostAt;
  member.on('reconnected', () => (lostAt = undefined));
  member.on('reconnecting', ({ retryIn }) => {
    lostAt ??= performance.now();
    // A busy machine may be late to tell.
    const most = 1_000 + (performance.now() - lostAt) + 500;
    if (retryIn > most) waits.push({ retryIn, most });
  });
  return waits;
}

let ambo;
before(async () => (ambo = await Ambo.start()));
after(() => ambo?.stop());

it(`everyone is soon back, ${RESTARTS} times`, { timeout: 300_000 }, async (t) => {
  const talk = await Talk.start(ambo, 5);
  let isOver = false;
  const speech = talk.speak(() => isOver);
  const waits = [];
  const overlong = talk.members.map(overlongWaits);
  for (let restart = 0; restart < RESTARTS; restart += 1) {
    // After two seconds a connection was a good one, and waits begin anew.
    await sleep(2_500);
    const killed = performance.now();
    await ambo.kill();
    await sleep(AWAY);
    const back = talk.members.map((member) => next(member, 'reconnected'));
    await ambo.launch();
    const start = performance.now();
    // What it takes to launch on a busy machine is not the clients': they wait as long, and a
    // second more.
    const slow = start - killed - AWAY;
    await Promise.all(
      back.map((each) => each.then(() => waits.push(performance.now() - start - slow))),
    );
  }
  await sleep(500);
  isOver = true;
  await speech;
  await talk.heardBy(60_000);
  await talk.leave();
  const slowest = Math.max(...waits) / 1_000;
  t.diagnostic(
    `${waits.length} returns, the slowest after ${slowest.toFixed(2)} s; ` +
      `${talk.spoken} frames, ${JSON.stringify(talk.faults)}, ${talk.gaps} gaps told`,
  );
  assert.deepEqual(overlong.flat(), []);
  assert.deepEqual(talk.faults, { doubled: 0, disordered: 0, lost: 0 });
  assert.equal(talk.dropped, 0);
});
