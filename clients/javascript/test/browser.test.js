/** The client in headless Chromium, against the real server. */

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Ambo } from './support/ambo.js';
import { openBrowser, servePages } from './support/browser.js';
import { tone } from './support/wav.js';

const HERTZ = 700;

let [ambo, pages, browser, folder] = [];
before(
  async () => {
    folder = mkdtempSync(join(tmpdir(), 'ambo-browser-'));
    const microphone = join(folder, 'tone.wav');
    writeFileSync(microphone, tone({ seconds: 10, rate: 48_000, hertz: HERTZ }));
    pages = await servePages();
    ambo = await Ambo.start();
    browser = await openBrowser(microphone);
  },
  { timeout: 180_000 },
);
after(async () => {
  await browser?.close();
  await ambo?.stop();
  pages?.close();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

async function open() {
  const page = await browser.context.newPage();
  page.errors = [];
  page.on('pageerror', (error) => page.errors.push(error));
  await page.goto(`${pages.url}/clients/javascript/test/support/page.html`);
  await page.waitForFunction(() => window.isReady);
  return page;
}

/** Speaks from the microphone; tells the session. */
const speak = (page, codec) =>
  page.evaluate(
    async ({ url, token, codec }) => {
      const speaker = new window.client.Speaker({ url, token: () => token, sourceLanguage: 'en' });
      window.speaker = speaker;
      await speaker.connect();
      const constraints = {
        echoCancellation: false,
        noiseSuppression: false,
        autoGainControl: false,
      };
      window.capture = await window.audio.Capture.start({ speaker, codec, constraints });
      return { sessionId: speaker.sessionId, codec: window.capture.codec };
    },
    { url: ambo.url, token: ambo.token(), codec },
  );

/** Listens with the page's one output. */
const listen = (page, sessionId, timing) =>
  page.evaluate(
    async ({ url, ...options }) => {
      const listener = new window.client.Listener({ url, targetLanguage: 'es', ...options });
      window.listener = listener;
      window.playback.attach(listener);
      window.told = [];
      for (const name of ['gap', 'error', 'reconnecting', 'reconnected', 'languageChanged']) {
        listener.on(name, (detail) => window.told.push([name, detail]));
      }
      await listener.connect();
    },
    { url: ambo.url, sessionId, timing },
  );

/** What is heard at the loudspeaker: the loudest tone, and how far it stands out. */
const measure = (page) =>
  page.evaluate(async () => {
    const { output } = window.playback;
    const analyser = new AnalyserNode(output.context, {
      fftSize: 16_384,
      smoothingTimeConstant: 0,
    });
    output.connect(analyser);
    await new Promise((resolve) => setTimeout(resolve, 800));
    const levels = new Float32Array(analyser.frequencyBinCount);
    analyser.getFloatFrequencyData(levels);
    const loudest = levels.indexOf(Math.max(...levels));
    const others = [...levels].sort((a, b) => a - b)[levels.length >> 1];
    const hertz = (loudest * output.context.sampleRate) / analyser.fftSize;
    return { hertz, over: levels[loudest] - others, report: window.playback.report };
  });

/** The same, once it is the tone alone: a busy machine plays nothing now and then. */
async function hear(page) {
  const end = performance.now() + 60_000;
  for (;;) {
    const heard = await measure(page);
    const isTone = Math.abs(heard.hertz - HERTZ) < 8 && heard.over > 30;
    if (isTone || performance.now() > end) return heard;
  }
}

describe('in Chromium', { timeout: 400_000 }, () => {
  for (const codec of ['pcm', 'opus']) {
    it(`carries a tone from the microphone to the loudspeaker (${codec})`, async (t) => {
      const [speaking, listening] = [await open(), await open()];
      const { sessionId, codec: spoken } = await speak(speaking, codec);
      assert.equal(spoken, codec === 'opus' ? 'opus' : 'pcm_s16le');
      await listen(listening, sessionId);
      assert.equal(await listening.evaluate(() => window.atFirst), 'locked');
      await listening.click('button');
      await listening.waitForFunction(() => window.playback.sounding === 'running');
      await listening.waitForFunction(() => window.playback.report.played > 48_000);
      const { hertz, over, report } = await hear(listening);
      t.diagnostic(
        `${hertz.toFixed(1)} Hz, ${over.toFixed(0)} dB over the rest, ` + JSON.stringify(report),
      );
      assert.ok(Math.abs(hertz - HERTZ) < 8, `${hertz} Hz`);
      assert.ok(over > 30, `${over} dB`);
      const { told } = await listening.evaluate(() => ({ told: window.told }));
      assert.deepEqual(told, []);
      assert.deepEqual([...speaking.errors, ...listening.errors], []);
      await Promise.all([speaking.close(), listening.close()]);
    });
  }

  it('goes on after a packet that is none, and keeps no sound that was encoded', async () => {
    const [speaking, listening] = [await open(), await open()];
    await speaking.evaluate(() => {
      window.sounds = { made: 0, kept: 0 };
      window.AudioData = class extends window.AudioData {
        constructor(about) {
          super(about);
          window.sounds.made += 1;
          window.sounds.kept += 1;
        }
        close() {
          super.close();
          window.sounds.kept -= 1;
        }
      };
    });
    const { sessionId } = await speak(speaking, 'opus');
    await listen(listening, sessionId);
    await listening.click('button');
    await listening.waitForFunction(() => window.playback.report.played > 24_000);
    await listening.evaluate(() => {
      window.playback.play({ kind: 'audio', payload: Uint8Array.of(3, 0), capturedMicros: 1 });
    });
    await listening.waitForFunction(() => window.broken.length > 0);
    const before = await listening.evaluate(() => window.playback.report.played);
    // More than could have waited to be played.
    await listening.waitForFunction(
      (before) => window.playback.report.played > before + 240_000,
      before,
    );
    assert.deepEqual(await listening.evaluate(() => window.broken), ['EncodingError']);
    const { made, kept } = await speaking.evaluate(() => window.sounds);
    assert.ok(made > 100, `${made} made`);
    assert.equal(kept, 0);
    await Promise.all([speaking.close(), listening.close()]);
  });

  it('keeps its output through a change of language, a loss and another session', async () => {
    const [speaking, listening] = [await open(), await open()];
    const { sessionId } = await speak(speaking, 'pcm');
    await listen(listening, sessionId);
    await listening.click('button');
    await listening.waitForFunction(() => window.playback.report.played > 24_000);
    await listening.evaluate(() => window.listener.changeLanguage('de'));
    await listening.waitForFunction(() => window.told.some(([name]) => name === 'languageChanged'));
    await ambo.kill();
    await ambo.launch();
    for (const page of [listening, speaking]) {
      await page.waitForFunction(
        () => !window.told || window.told.some(([name]) => name === 'reconnected'),
      );
    }
    const before = await listening.evaluate(() => window.playback.report.played);
    await listening.waitForFunction(
      (before) => window.playback.report.played > before + 24_000,
      before,
    );
    assert.equal(
      await listening.evaluate(() => window.told.filter(([name]) => name === 'gap').length),
      0,
    );
    await speaking.evaluate(() => window.speaker.end('over'));
    assert.equal(await listening.evaluate(async () => (await window.listener.closed).why), 'ended');

    const other = await speak(speaking, 'pcm');
    await listen(listening, other.sessionId);
    const { hertz } = await hear(listening);
    assert.ok(Math.abs(hertz - HERTZ) < 8, `${hertz} Hz`);
    assert.deepEqual([...speaking.errors, ...listening.errors], []);
    await Promise.all([speaking.close(), listening.close()]);
  });

  it('comes back at once when the network does', async () => {
    const [speaking, listening] = [await open(), await open()];
    const { sessionId } = await speak(speaking, 'pcm');
    // By itself it would wait for most of an hour.
    await listen(listening, sessionId, { firstRetry: 3_600_000, longestRetry: 3_600_000 });
    await ambo.kill();
    await listening.waitForFunction(() => window.told.some(([name]) => name === 'reconnecting'));
    await listening.evaluate(() => {
      const wake = setInterval(() => window.dispatchEvent(new Event('online')), 50);
      window.back = new Promise((resolve) => window.listener.once('reconnected', resolve));
      window.back.then(() => clearInterval(wake));
    });
    await ambo.launch();
    await listening.evaluate(() => window.back);
    await Promise.all([speaking.close(), listening.close()]);
  });

  it('runs the example page', async () => {
    const page = await browser.context.newPage();
    const errors = [];
    page.on('pageerror', (error) => errors.push(error));
    await page.goto(`${pages.url}/examples/javascript/browser.html`);
    await page.fill('#server', ambo.url);
    await page.click('#speak');
    await page.getByText('This is no token.').waitFor();
    await page.fill('#token', ambo.token());
    await page.click('#speak');
    await page.getByText(/^Session .* is open/).waitFor();
    await page.click('#listen');
    await page.getByText(/: 1 listening/).waitFor();
    await page.click('#pause');
    await page.getByText('Paused.').waitFor();
    await page.click('#pause');
    await page.getByText('Listening.', { exact: true }).waitFor();
    await page.click('#end');
    await page.getByText('the session is over').first().waitFor();
    assert.deepEqual(errors, []);
    await page.close();
  });

  it('reads a refusal', async () => {
    const page = await open();
    const code = await page.evaluate(
      (url) =>
        new window.client.Listener({
          url,
          sessionId: 'no-one-427',
          targetLanguage: 'es',
        })
          .connect()
          .catch((error) => error.code),
      ambo.url,
    );
    assert.equal(code, 'SESSION_NOT_FOUND');
    await page.close();
  });
});
