/** A server that does to each connection what the test says, over real sockets. */

import { once } from 'node:events';
import { WebSocketServer } from 'ws';

import { SESSION, STATE } from './stage.js';

export class Hostile {
  /** Every connection so far: `{ query, ws, said }`. */
  calls = [];

  /** @param {(call: object, nth: number) => void} play What to do with a connection. */
  static async start(play) {
    const hostile = new Hostile();
    hostile.play = play;
    hostile.server = new WebSocketServer({
      host: '127.0.0.1',
      port: 0,
      autoPong: false,
      handleProtocols: (offered) => [...offered][0],
    });
    hostile.server.on('connection', (ws, request) => hostile.#meet(ws, request));
    await once(hostile.server, 'listening');
    hostile.url = `ws://127.0.0.1:${hostile.server.address().port}/ws`;
    return hostile;
  }

  #meet(ws, request) {
    const query = Object.fromEntries(new URL(request.url, 'ws://host').searchParams);
    const call = { query, ws, said: [], frames: [], close: undefined };
    call.tell = (message) => ws.send(JSON.stringify({ timestamp: 1, ...message }));
    call.welcome = (fields) => call.tell({ ...welcome(query), ...fields });
    ws.on('message', (data, isBinary) => {
      if (isBinary) call.frames.push(data);
      else call.said.push(JSON.parse(data));
      if (!isBinary && !call.isMute) answer(call, call.said.at(-1));
      call.onMessage?.(data, isBinary);
    });
    ws.on('close', (code, reason) => (call.close = { code, reason: String(reason) }));
    ws.on('ping', (data) => call.isMute || ws.pong(data));
    ws.on('error', () => {});
    this.calls.push(call);
    this.play(call, this.calls.length);
  }

  async stop() {
    for (const { ws } of this.calls) ws.terminate();
    this.server.close();
    await once(this.server, 'close');
  }
}

/** The first message that goes with a query. */
function welcome({ action, role, sessionId = SESSION, sourceLanguage = 'en', targetLanguage }) {
  const common = { sessionId, sourceLanguage, connectionId: 'c', broadcastState: STATE };
  if (action === 'createSession') {
    return { type: 'sessionCreated', qualityTier: 'standard', expiresAt: 9, ...common };
  }
  if (action === 'joinSession') return { type: 'sessionJoined', targetLanguage, ...common };
  const complete = { type: 'connectionRefreshComplete', role, ...common };
  return role === 'speaker' ? complete : { ...complete, targetLanguage, replayed: 0 };
}

function answer(call, { action, command, targetLanguage }) {
  const { ws, tell } = call;
  if (action === 'heartbeat') tell({ type: 'heartbeatAck' });
  if (action === 'changeLanguage') {
    tell({ type: 'languageChanged', sessionId: SESSION, targetLanguage, sourceLanguage: 'en' });
  }
  if (action === 'controlSession') {
    const broadcastState = { ...STATE, isPaused: command === 'pause', isMuted: command === 'mute' };
    tell({ type: 'broadcastState', sessionId: SESSION, broadcastState });
  }
  if (action === 'getSessionStatus') {
    tell({
      type: 'sessionStatus',
      sessionId: SESSION,
      listenerCount: 3,
      languageDistribution: { es: 3 },
      sessionDuration: 9,
      broadcastState: STATE,
      updateReason: 'requested',
    });
  }
  if (action === 'endSession') {
    tell({ type: 'sessionEnded', sessionId: SESSION, message: 'over', reason: 'speakerEnded' });
    ws.close(1000, 'session ended');
  }
}

/** Resolves with the next event of this name. */
export const next = (member, name) => new Promise((resolve) => member.once(name, resolve));

/** Waits until something holds; a test that waits in vain fails by its own time limit. */
export async function until(holds) {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
}
