import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');

/** Where `make lambda` puts the binary that is deployed. */
export const BUILT_FOLDER = join(ROOT, '..', 'target', 'lambda', 'arm64');

/** Enough for a template that is only looked at. */
export const PLACEHOLDER_FOLDER = join(ROOT, 'test', 'placeholder');

/** The folder to make the asset from: the one named, the one built, or the placeholder. */
export function bootstrapFolder(named: string | undefined): string {
  if (named !== undefined && named !== '') {
    return named;
  }
  return existsSync(join(BUILT_FOLDER, 'bootstrap')) ? BUILT_FOLDER : PLACEHOLDER_FOLDER;
}

/** What keeps the binary in a folder from running on the deployed architecture. */
export function unusable(folder: string): string | undefined {
  const file = join(folder, 'bootstrap');
  if (!existsSync(file)) {
    return `${file}: is missing: run make lambda`;
  }
  const header = Buffer.alloc(20);
  const open = openSync(file, 'r');
  readSync(open, header, 0, header.length, 0);
  closeSync(open);
  const isElf = header.subarray(0, 4).equals(Buffer.from([0x7f, 0x45, 0x4c, 0x46]));
  const AARCH64 = 183;
  if (!isElf || header.readUInt16LE(18) !== AARCH64) {
    return `${file}: is no program for arm64 Linux: run make lambda`;
  }
  return undefined;
}
