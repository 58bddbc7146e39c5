import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, test } from 'vitest';

import { bootstrapFolder, PLACEHOLDER_FOLDER, unusable } from '../lib/bootstrap.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ambo-bootstrap-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** The first bytes of a program for a machine, by its number in ELF. */
function program(machine: number): Buffer {
  const header = Buffer.alloc(64);
  header.write('\x7fELF', 'latin1');
  header.writeUInt16LE(machine, 18);
  return header;
}

test('a folder that is named is taken', () => {
  expect(bootstrapFolder(folder)).toBe(folder);
});

test('what is missing, a script, or of another machine is not deployed', () => {
  expect(unusable(folder)).toMatch(/bootstrap: is missing: run make lambda$/);
  expect(unusable(PLACEHOLDER_FOLDER)).toMatch(/is no program for arm64 Linux: run make lambda$/);
  const x86 = 62;
  writeFileSync(join(folder, 'bootstrap'), program(x86));
  expect(unusable(folder)).toMatch(/is no program for arm64 Linux/);
});

test('a program for arm64 is', () => {
  writeFileSync(join(folder, 'bootstrap'), program(183));
  expect(unusable(folder)).toBeUndefined();
});
