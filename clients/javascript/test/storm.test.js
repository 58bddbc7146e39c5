/** Refreshes without end while audio runs, over the real server. */

import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { Ambo } from './support/ambo.js';
import { Talk } from './support/talk.js';

const REFRESHES = Number(process.env.AMBO_REFRESHES ?? 1_000);
const NOTHING = { doubled: 0, disordered: 0, lost: 0 };

let ambo;
before(async () => {
  ambo = await Ambo.start(
    '--connection-refresh',
    '200ms',
    '--connection-warning',
    '0s',
    '--connection-max-duration',
    '0s',
  );
});
after(() => ambo?.stop());

it(`loses nothing in ${REFRESHES} refreshes`, { timeout: 300_000 }, async (t) => {
  const talk = await Talk.start(ambo, 20);
  let moves = 0;
  talk.speaker.on('refreshed', () => (moves += 1));
  const start = performance.now();
  await talk.speak(() => talk.refreshes >= REFRESHES);
  const seconds = (performance.now() - start) / 1_000;
  await talk.heardBy(60_000);
  await talk.leave();
  t.diagnostic(
    `${talk.refreshes} refreshes in ${seconds.toFixed(1)} s, ${talk.spoken} frames to ` +
      `${talk.heard.length} listeners, ${JSON.stringify(talk.faults)}, ${talk.gaps} gaps told`,
  );
  assert.deepEqual(talk.faults, NOTHING);
  assert.equal(talk.dropped, 0);
  assert.ok(moves >= REFRESHES / 50, `the speaker moved ${moves} times`);
});
