/** Why a connection was closed, and whether to come back. */

/**
 * What a close code means.
 *
 * - `finished`: 1000. All was said if `sessionEnded` came before; else it says nothing, for a
 *   server behind a gateway can choose no other code.
 * - `superseded`: 1000 `superseded`, the member lives on another connection.
 * - `goingAway`: 1001, the connection reached its greatest age, or the server goes.
 * - `lost`: no close frame, or one without a code; the line is dead.
 * - `protocolBroken`: 1002, 1003 or 1007, one of the two broke the WebSocket protocol.
 * - `refused`: 1008, a refusal; audio far too fast for too long.
 * - `messageTooLarge`: 1009.
 * - `serverFault`: 1011.
 * - `serverStops`: 1012, the server stops or restarts.
 * - `tryLater`: 1013.
 * - `slowConsumer`: 1013 `slow consumer`, this listener did not read fast enough.
 * - `other`: a code that this version does not know.
 *
 * @typedef {'finished' | 'superseded' | 'goingAway' | 'lost' | 'protocolBroken' | 'refused'
 *   | 'messageTooLarge' | 'serverFault' | 'serverStops' | 'tryLater' | 'slowConsumer' | 'other'
 * } CloseReason
 */

/** @type {Record<number, CloseReason>} */
const REASONS = {
  1000: 'finished',
  1001: 'goingAway',
  1002: 'protocolBroken',
  1003: 'protocolBroken',
  1005: 'lost',
  1006: 'lost',
  1007: 'protocolBroken',
  1008: 'refused',
  1009: 'messageTooLarge',
  1011: 'serverFault',
  1012: 'serverStops',
  1013: 'tryLater',
};

/** Where coming back would end the same way. */
const FINAL = ['superseded', 'protocolBroken', 'refused', 'messageTooLarge'];

/** @type {Record<CloseReason, string>} */
const SENTENCES = {
  finished: 'the server closed the connection',
  superseded: 'this member has moved to another connection',
  goingAway: 'the connection reached its greatest age',
  lost: 'the connection was lost',
  protocolBroken: 'the WebSocket protocol was broken',
  refused: 'the server refused this connection',
  messageTooLarge: 'a message was too large',
  serverFault: 'the server has a fault',
  serverStops: 'the server stops',
  tryLater: 'the server asks to come back later',
  slowConsumer: 'this listener did not read fast enough',
  other: 'the server closed the connection',
};

/**
 * The reason behind a close frame, or its absence.
 *
 * @param {number | undefined} code
 * @param {string} [text]
 * @returns {CloseReason}
 */
export function closeReason(code, text = '') {
  if (code === 1000 && text === 'superseded') return 'superseded';
  if (code === 1013 && text === 'slow consumer') return 'slowConsumer';
  return REASONS[code ?? 1006] ?? 'other';
}

/**
 * Whether coming back can help.
 *
 * @param {CloseReason} reason
 */
export function comesBack(reason) {
  return !FINAL.includes(reason);
}

/**
 * The reason in words.
 *
 * @param {CloseReason} reason
 */
export function closeSentence(reason) {
  return SENTENCES[reason];
}
