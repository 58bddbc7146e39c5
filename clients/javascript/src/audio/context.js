/** An audio context that is kept running. */

/**
 * What the browser lets be heard: `locked` until the first tap, `interrupted` by a call or while
 * the page is in the background.
 *
 * @typedef {'locked' | 'running' | 'interrupted' | 'closed'} Sounding
 */

const TAPS = ['pointerup', 'touchend', 'keydown'];

/** Makes a context, unlocks it at the first tap, and brings it back after interruptions. */
export class Context {
  #hasRun = false;
  #stop = new AbortController();

  /** @param {(sounding: Sounding) => void} [told] Called when it changes. */
  constructor(told = () => {}) {
    this.audio = new AudioContext({ latencyHint: 'interactive' });
    const { signal } = this.#stop;
    this.audio.addEventListener(
      'statechange',
      () => {
        this.#hasRun ||= this.audio.state === 'running';
        told(this.sounding);
        // Safari says "interrupted" after a call; others "suspended" where they save power.
        if (this.audio.state !== 'running' && document.visibilityState === 'visible') this.resume();
      },
      { signal },
    );
    document.addEventListener(
      'visibilitychange',
      () => {
        if (document.visibilityState === 'visible') this.resume();
      },
      { signal },
    );
    for (const tap of TAPS) document.addEventListener(tap, () => this.resume(), { signal });
    navigator.mediaDevices?.addEventListener('devicechange', () => this.resume(), { signal });
    this.resume();
  }

  /** @returns {Sounding} */
  get sounding() {
    const { state } = this.audio;
    if (state === 'running' || state === 'closed') return state;
    return this.#hasRun ? 'interrupted' : 'locked';
  }

  /** Called in a tap, this unlocks the sound. Elsewhere it does no harm. */
  async resume() {
    if (this.audio.state === 'running' || this.audio.state === 'closed') return;
    // Refused without a tap; the next one asks again.
    await this.audio.resume().catch(() => {});
  }

  /** Loads what runs in the audio thread. */
  load() {
    return this.audio.audioWorklet.addModule(new URL('./worklets.js', import.meta.url));
  }

  async close() {
    this.#stop.abort();
    if (this.audio.state !== 'closed') await this.audio.close();
  }
}
