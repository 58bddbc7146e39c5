/** Headless Chromium with a microphone that plays a file, and a server for its pages. */

import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { extname, join, normalize, resolve } from 'node:path';
import { chromium } from 'playwright-core';

const ROOT = resolve(import.meta.dirname, '../../../..');
const PATHS = [
  process.env.CHROMIUM_BIN,
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
];
/** Bounds what never comes; a busy machine may take long over what does. */
const LIMIT = 120_000;
const TYPES = { '.js': 'text/javascript', '.html': 'text/html; charset=utf-8' };

/** Serves the folders that pages need, as any web server would. */
export async function servePages() {
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, 'http://host').pathname));
    const file = join(ROOT, path);
    const isShown = /^\/(clients\/javascript\/(src|test)|examples\/javascript)\//.test(path);
    if (!isShown || !existsSync(file)) return response.writeHead(404).end();
    response.writeHead(200, {
      'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream',
      // Nothing but its own files and the socket: what the client does must be enough with that.
      'Content-Security-Policy': "default-src 'self' 'unsafe-inline'; connect-src 'self' ws:",
    });
    return response.end(readFileSync(file));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

/** @param {string} microphone A WAV file, played over and over. */
export async function openBrowser(microphone) {
  const executablePath = PATHS.find((path) => path && existsSync(path));
  if (!executablePath) {
    throw new Error(
      'Chromium is missing: install it (`apt-get install chromium`) or set CHROMIUM_BIN',
    );
  }
  const profile = mkdtempSync(join(tmpdir(), 'ambo-chromium-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath,
    headless: true,
    timeout: LIMIT,
    permissions: ['microphone'],
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-sync',
      '--disable-background-networking',
      '--disable-component-update',
      '--use-fake-device-for-media-stream',
      '--use-fake-ui-for-media-stream',
      `--use-file-for-fake-audio-capture=${microphone}`,
    ],
  });
  context.setDefaultTimeout(LIMIT);
  const close = async () => {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  };
  return { context, close };
}
