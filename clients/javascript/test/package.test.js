/** What is shipped: its size, its types, and that it works in an empty project. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const ROOT = resolve(import.meta.dirname, '..');
const LIMIT = 12 * 1024;

let folder;
before(() => (folder = mkdtempSync(join(tmpdir(), 'ambo-package-'))));
after(() => rmSync(folder, { recursive: true, force: true }));

const npm = (args, cwd) => execFileSync('npm', args, { cwd, encoding: 'utf8', stdio: 'pipe' });
const sources = readdirSync(join(ROOT, 'src'), { recursive: true }).filter((name) =>
  name.endsWith('.js'),
);

describe('the package', { timeout: 300_000 }, () => {
  it(`is at most ${LIMIT} bytes, minified and compressed`, async (t) => {
    const {
      outputFiles: [file],
    } = await build({
      entryPoints: [join(ROOT, 'src/index.js')],
      bundle: true,
      minify: true,
      write: false,
      format: 'esm',
      target: 'es2022',
      logLevel: 'silent',
    });
    const size = gzipSync(file.contents, { level: 9 }).length;
    const brotli = brotliCompressSync(file.contents).length;
    t.diagnostic(
      `${file.contents.length} bytes minified, ${size} with gzip, ${brotli} with brotli`,
    );
    assert.ok(size <= LIMIT, `${size} bytes`);
  });

  it('installs into an empty project and works there, types and all', () => {
    const [{ filename }] = JSON.parse(npm(['pack', '--json', '--pack-destination', folder], ROOT));
    const project = join(folder, 'project');
    execFileSync('mkdir', [project]);
    writeFileSync(join(project, 'package.json'), '{ "type": "module", "private": true }');
    npm(['install', '--no-audit', '--no-fund', '--offline', join(folder, filename)], project);
    writeFileSync(
      join(project, 'main.js'),
      `
      import { Speaker, Listener, Machine } from '@ambo/client';
      import '@ambo/client/audio';
      import '@ambo/client/signin/cognito';
      import '@ambo/client/signin/builtin';
      const machine = new Machine({ kind: 'listener', sessionId: 'a-b-100', targetLanguage: 'es' });
      const [{ type }] = machine.handle({ type: 'start' }, 0, Math.random);
      console.log(type, typeof Speaker, typeof Listener);
    `,
    );
    const said = execFileSync(process.execPath, ['main.js'], { cwd: project, encoding: 'utf8' });
    assert.equal(said, 'open function function\n');
    writeFileSync(
      join(project, 'main.ts'),
      `
      import { Listener, Speaker, type AudioFrame, type Status } from '@ambo/client';
      const speaker = new Speaker({ url: 'ws://x', token: () => 'x', sourceLanguage: 'en' });
      const status: Promise<Status> = speaker.status();
      const listener = new Listener({ url: 'ws://x', sessionId: 'a-b-100', targetLanguage: 'es' });
      listener.on('gap', ({ frames }) => frames.toFixed());
      // @ts-expect-error There is no such event.
      listener.on('gaps', () => {});
      export async function hear(): Promise<AudioFrame | Status> {
        for await (const frame of listener) return frame;
        return status;
      }
    `,
    );
    const tsc = join(ROOT, 'node_modules/.bin/tsc');
    const flags = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2022'];
    execFileSync(tsc, [...flags, '--lib', 'es2022,dom,dom.iterable', 'main.ts'], { cwd: project });
    const installed = readdirSync(join(project, 'node_modules'));
    assert.deepEqual(
      installed.filter((name) => !name.startsWith('.')),
      ['@ambo'],
    );
  });

  it('has no dependency, and makes no network call but the socket', () => {
    const { dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
    assert.equal(dependencies, undefined);
    for (const name of sources.filter((name) => !/^(signin|audio)/.test(name))) {
      const text = readFileSync(join(ROOT, 'src', name), 'utf8');
      assert.doesNotMatch(text, /\bfetch\(|XMLHttpRequest|sendBeacon|from '[^.]/, name);
    }
  });

  it('is short: 400 lines a file, 100 columns', () => {
    for (const folder of ['src', 'test']) {
      const names = readdirSync(join(ROOT, folder), { recursive: true });
      for (const name of names.filter((name) => name.endsWith('.js'))) {
        const lines = readFileSync(join(ROOT, folder, name), 'utf8').split('\n');
        assert.ok(folder === 'test' || lines.length <= 400, `${name} has ${lines.length} lines`);
        const long = lines.findIndex((line) => [...line].length > 100);
        assert.equal(long, -1, `${name}:${long + 1}`);
      }
    }
  });
});
