/** A talk over the real server: numbered frames, and what each listener made of them. */

import { setTimeout as sleep } from 'node:timers/promises';
import WebSocket from 'ws';

import { Listener, Speaker } from '../../src/index.js';

export class Talk {
  heard = [];
  refreshes = 0;
  gaps = 0;
  dropped = 0;
  spoken = 0;

  static async start(ambo, listeners, options = {}) {
    const talk = new Talk();
    const token = ambo.token();
    const common = { url: ambo.url, WebSocket, ...options };
    talk.speaker = new Speaker({ ...common, token: () => token, sourceLanguage: 'en' });
    await talk.speaker.connect();
    const { sessionId } = talk.speaker;
    talk.listeners = Array.from(
      { length: listeners },
      () => new Listener({ ...common, sessionId, targetLanguage: 'es' }),
    );
    await Promise.all(talk.listeners.map((listener) => talk.#listen(listener)));
    talk.members = [talk.speaker, ...talk.listeners];
    for (const member of talk.members) {
      member.on('refreshed', () => (talk.refreshes += 1));
      member.on('gap', ({ frames }) => (talk.gaps += frames));
      member.on('dropped', ({ frames }) => (talk.dropped += frames));
    }
    return talk;
  }

  #listen(listener) {
    const heard = [];
    this.heard.push(heard);
    listener.on('audio', ({ payload }) => {
      heard.push(new DataView(payload.buffer, payload.byteOffset).getUint32(0));
    });
    return listener.connect();
  }

  /** Speaks a frame every 20 ms until told to stop. */
  async speak(isOver) {
    const start = performance.now();
    while (!isOver()) {
      this.spoken += 1;
      const payload = new DataView(new ArrayBuffer(640));
      payload.setUint32(0, this.spoken);
      this.speaker.send(payload);
      await sleep(Math.max(0, start + this.spoken * 20 - performance.now()));
    }
  }

  /** Resolves when everyone has heard the last word. */
  async heardBy(limit) {
    const end = performance.now() + limit;
    while (this.heard.some((heard) => heard.at(-1) !== this.spoken) && performance.now() < end) {
      await sleep(20);
    }
  }

  leave() {
    return Promise.all(this.members.map((member) => member.leave()));
  }

  /** How many frames were heard twice, out of order, or not at all, over all listeners. */
  get faults() {
    const faults = { doubled: 0, disordered: 0, lost: 0 };
    for (const heard of this.heard) {
      faults.doubled += heard.length - new Set(heard).size;
      faults.disordered += heard.filter((n, at) => at > 0 && n < heard[at - 1]).length;
      faults.lost += this.spoken - new Set(heard).size;
    }
    return faults;
  }
}
