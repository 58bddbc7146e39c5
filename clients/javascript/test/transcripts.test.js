/** The golden conversations, with our machine in the place of each client. */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, it } from 'node:test';

import { Replay } from './support/transcript.js';

const FOLDER = resolve(import.meta.dirname, '../../../protocol/transcripts');
const files = readdirSync(FOLDER).filter((name) => name.endsWith('.jsonl'));

describe('the golden conversation', () => {
  for (const file of files) {
    it(file.replace('.jsonl', ''), (t) => {
      const texts = readFileSync(join(FOLDER, file), 'utf8').trim().split('\n');
      const [about, ...all] = texts.map((text) => JSON.parse(text));
      // What is said without some ability, is not said to us.
      const lines = all.filter(({ without }) => !without);
      assert.ok(about.about);
      const clients = new Set(
        lines.filter(({ conn }) => conn).map(({ conn }) => conn.split('/')[0]),
      );
      const taken = [...clients].map((client) => {
        const replay = new Replay(client);
        for (const line of lines) replay.take(line);
        return [client, replay.lines];
      });
      t.diagnostic(taken.map(([client, count]) => `${client} ${count}`).join(', '));
      assert.ok(
        taken.some(([, count]) => count > 0),
        'nobody was replayed',
      );
    });
  }

  it('is there', () => assert.ok(files.length >= 10, `${files.length} files`));
});
