/** Messages and frames, to and from what travels on the socket. */

/** The subprotocol that makes audio binary and refusals readable. */
export const SUBPROTOCOL = 'ambo.v1';

/** The largest audio payload in bytes. */
export const MAX_AUDIO = 32 * 1024;

/** @typedef {'audio' | 'configuration'} Kind */

/**
 * A frame with its place.
 *
 * @typedef {object} AudioFrame
 * @property {Kind} kind
 * @property {string} language What is spoken.
 * @property {number} sequence
 * @property {number} capturedMicros When it was captured, in microseconds since the epoch; 0 where
 *   the server does not say.
 * @property {Uint8Array} payload
 */

/**
 * Whether the audio flows.
 *
 * @typedef {object} BroadcastState
 * @property {boolean} isPaused Paused by the speaker, or the speaker is lost.
 * @property {boolean} isMuted
 * @property {number} lastStateChange Unix milliseconds.
 */

/** @typedef {{ type: string } & Record<string, any>} ServerMessage */

const VERSION = 1;
const HEADER = 16;
/** @type {Kind[]} */
const KINDS = ['audio', 'configuration'];

/**
 * @param {AudioFrame} frame
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function encodeFrame({ kind, language, sequence, capturedMicros, payload }) {
  const bytes = new Uint8Array(HEADER + payload.length);
  const view = new DataView(bytes.buffer);
  bytes[0] = VERSION;
  bytes[1] = KINDS.indexOf(kind) + 1;
  bytes[2] = language.charCodeAt(0);
  bytes[3] = language.charCodeAt(1);
  view.setUint32(4, sequence);
  view.setBigUint64(8, BigInt(Math.max(0, Math.trunc(capturedMicros))));
  bytes.set(payload, HEADER);
  return bytes;
}

/**
 * Reads a binary message; `undefined` if it is no frame of this version.
 *
 * @param {ArrayBuffer | Uint8Array} message
 * @returns {AudioFrame | undefined}
 */
export function parseFrame(message) {
  const bytes = message instanceof Uint8Array ? message : new Uint8Array(message);
  const [version, number = 0, first = 0, second = 0] = bytes;
  const kind = KINDS[number - 1];
  const isLetter = (/** @type {number} */ byte) => byte >= 97 && byte <= 122;
  if (bytes.length <= HEADER || version !== VERSION || !kind) return undefined;
  if (!isLetter(first) || !isLetter(second)) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER);
  return {
    kind,
    language: String.fromCharCode(first, second),
    sequence: view.getUint32(4),
    capturedMicros: Number(view.getBigUint64(8)),
    payload: bytes.subarray(HEADER),
  };
}

/**
 * What the messages must have that this client acts on: s text, n number, b broadcast state; a
 * capital is one that may be absent.
 *
 * @type {Record<string, Record<string, keyof typeof SORTS>>}
 */
const FIELDS = {
  sessionCreated: { sessionId: 's', sourceLanguage: 's', expiresAt: 'n' },
  sessionJoined: { sessionId: 's', sourceLanguage: 's', targetLanguage: 's', broadcastState: 'b' },
  connectionRefreshComplete: {
    sessionId: 's',
    role: 's',
    sourceLanguage: 's',
    broadcastState: 'B',
    lastSequence: 'N',
    targetLanguage: 'S',
    replayed: 'N',
  },
  connectionRefreshRequired: { reason: 's', refreshToken: 'S' },
  connectionWarning: { message: 's', remainingMinutes: 'n' },
  sessionPaused: { broadcastState: 'b', message: 'S', reason: 'S' },
  sessionResumed: { broadcastState: 'b', message: 'S', reason: 'S' },
  sessionMuted: { broadcastState: 'b', message: 'S', reason: 'S' },
  sessionUnmuted: { broadcastState: 'b', message: 'S', reason: 'S' },
  languageChanged: { targetLanguage: 's' },
  broadcastState: { broadcastState: 'b' },
  sessionStatus: { listenerCount: 'n', sessionDuration: 'n', broadcastState: 'b' },
  audioData: { language: 's', sequence: 'n', audioData: 's' },
  sessionEnded: { message: 's', reason: 's' },
  error: { code: 's', message: 's' },
};

const SORTS = {
  s: (/** @type {any} */ value) => typeof value === 'string',
  n: (/** @type {any} */ value) => Number.isFinite(value) && value >= 0,
  b: (/** @type {any} */ value) =>
    typeof value?.isPaused === 'boolean' &&
    typeof value.isMuted === 'boolean' &&
    SORTS.n(value.lastStateChange),
  S: (/** @type {any} */ value) => value === undefined || SORTS.s(value),
  N: (/** @type {any} */ value) => value === undefined || SORTS.n(value),
  B: (/** @type {any} */ value) => value === undefined || SORTS.b(value),
};

/**
 * Reads a text message; `undefined` if it cannot be read, and so is of a later version or nothing
 * to go by.
 *
 * @param {string} text
 * @returns {ServerMessage | undefined}
 */
export function parseMessage(text) {
  let message;
  try {
    message = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof message?.type !== 'string') return undefined;
  const fields = Object.hasOwn(FIELDS, message.type) ? FIELDS[message.type] : undefined;
  for (const [name, sort] of Object.entries(fields ?? {})) {
    if (!SORTS[sort](message[name])) return undefined;
  }
  return message;
}

/** @param {Uint8Array} bytes */
export function toBase64(bytes) {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

/**
 * @param {string} text
 * @returns {Uint8Array | undefined}
 */
export function fromBase64(text) {
  try {
    return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  } catch {
    return undefined;
  }
}

/**
 * The address to connect to.
 *
 * @param {string} server `ws:`, `wss:`, `http:` or `https:`.
 * @param {Record<string, string | undefined>} query
 */
export function connectUrl(server, query) {
  const url = new URL(server);
  url.protocol = url.protocol.replace(/^http/, 'ws');
  url.hash = '';
  for (const [name, value] of Object.entries(query)) {
    if (value) url.searchParams.set(name, value);
  }
  return url.href;
}
