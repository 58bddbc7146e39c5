/** What the server says. */

import { refused as refusedBy } from '../failure.js';
import { parseFrame, parseMessage } from '../wire.js';
import { attemptFailed, goUp } from './connect.js';
import { forgetTarget, hear, hearJson, languageAgreed, languageChanged } from './hear.js';
import { recordLost, refreshFailed, refreshRequired, resume, switchOver } from './refresh.js';
import { beginToSpeak, floorIs, forgetWishes, stateChanged } from './speak.js';

/** @import { ServerError } from '../failure.js' */
/** @import { Machine, Opening, Question } from '../machine.js' */
/** @import { ServerMessage } from '../wire.js' */

/**
 * @param {Machine} m
 * @param {number} socket
 * @param {string} text
 */
export function text(m, socket, text) {
  heard(m, socket);
  const message = parseMessage(text);
  if (!message) return;
  const origin = m.origin(socket);
  if (origin === 'second') secondSocketsMessage(m, message);
  else if (origin === 'first' && m.opening) firstMessage(m, m.opening, message);
  else if (origin === 'first') serve(m, message);
}

/**
 * @param {Machine} m
 * @param {number} socket
 * @param {ArrayBuffer | Uint8Array} bytes
 */
export function binary(m, socket, bytes) {
  heard(m, socket);
  const frame = m.up?.socket === socket ? parseFrame(bytes) : undefined;
  if (frame) hear(m, frame);
}

/**
 * @param {Machine} m
 * @param {number} socket
 */
export function heard(m, socket) {
  if (m.up?.socket === socket) m.up.pulse.heard(m.now);
}

/**
 * @param {Machine} m
 * @param {number} socket
 */
export function ponged(m, socket) {
  heard(m, socket);
  if (m.up?.socket === socket) answered(m, 'pong');
}

/**
 * The server has answered, so all that was sent before the question has arrived.
 *
 * @param {Machine} m
 * @param {string} answer
 * @returns {Question | undefined}
 */
function answered(m, answer) {
  const question = takeQuestion(m, answer);
  // On a superseded connection the server answers pings, and throws audio away.
  const isMember = answer !== 'pong' || !m.mayBeSuperseded;
  if (question && isMember) m.speaking?.frames.confirm(question.at);
  return question;
}

/**
 * @param {Machine} m
 * @param {string} answer
 * @returns {Question | undefined}
 */
function takeQuestion(m, answer) {
  const asked = m.up?.asked ?? [];
  const at = asked.findIndex((question) => question.answer === answer);
  return at < 0 ? undefined : asked.splice(at, 1)[0];
}

/**
 * @param {Machine} m
 * @param {number} socket
 * @param {number} frames
 */
export function written(m, socket, frames) {
  const { up } = m;
  if (up?.socket === socket) up.inFlight = Math.max(0, up.inFlight - frames);
}

/**
 * The first socket's first message makes it serve.
 *
 * @param {Machine} m
 * @param {Opening} opening
 * @param {ServerMessage} message
 */
function firstMessage(m, opening, message) {
  if (message.type === 'error') {
    m.effects.push({ type: 'abort', socket: opening.socket });
    attemptFailed(m, refusedBy(errorOf(message)));
  } else if (message.type === 'sessionEnded') {
    ended(m, message);
  } else if (isOurs(m, message)) {
    welcome(m, opening, message);
  }
}

/**
 * Replies to another role or about another session are none.
 *
 * @param {Machine} m
 * @param {ServerMessage} message
 */
function isOurs(m, { type, role, sessionId }) {
  if (m.session !== undefined && sessionId !== m.session) return false;
  if (type === 'connectionRefreshComplete') return (role === 'speaker') === !!m.speaking;
  if (type === 'sessionCreated') return !!m.speaking && m.session === undefined;
  return type === 'sessionJoined' && !!m.hearing;
}

/**
 * @param {Machine} m
 * @param {Opening} opening
 * @param {ServerMessage} message
 */
function welcome(m, opening, message) {
  const { type, sessionId, sourceLanguage, targetLanguage, expiresAt } = message;
  const state = message['broadcastState'];
  const isFirst = m.lostAt === undefined;
  goUp(m, opening);
  m.session = sessionId;
  floorIs(m, sourceLanguage);
  if (type === 'sessionCreated') {
    m.deliver('sessionCreated', { sessionId, sourceLanguage, expiresAt });
    beginToSpeak(m);
  } else if (type === 'sessionJoined') {
    m.stateChangedAt = state.lastStateChange;
    m.deliver('sessionJoined', { sessionId, sourceLanguage, targetLanguage, state });
    languageAgreed(m, targetLanguage);
  } else {
    if (isFirst && m.speaking) m.speaking.state = state ?? m.speaking.state;
    const resumed = resume(m, message);
    if (isFirst) m.deliver('sessionTaken', { sessionId, sourceLanguage, state });
    else m.deliver('reconnected', resumed);
  }
}

/**
 * @param {Machine} m
 * @param {ServerMessage} message
 */
function secondSocketsMessage(m, message) {
  const opening = m.refresh?.opening;
  if (message.type === 'error') {
    if (opening) m.effects.push({ type: 'abort', socket: opening.socket });
    refreshFailed(m, refusedBy(errorOf(message)));
  } else if (message.type === 'sessionEnded') {
    ended(m, message);
  } else if (message.type === 'connectionRefreshComplete' && isOurs(m, message)) {
    switchOver(m, message);
  }
}

/**
 * A message on the connection that serves. Replies to a connect come first or not at all; what is
 * unknown is of a later version.
 *
 * @param {Machine} m
 * @param {ServerMessage} message
 */
function serve(m, message) {
  switch (message.type) {
    case 'heartbeatAck':
      return void answered(m, 'heartbeatAck');
    case 'connectionRefreshRequired':
      return refreshRequired(m, message['reason'], message['refreshToken']);
    case 'connectionWarning': {
      const { message: text, remainingMinutes } = message;
      return m.deliver('warning', { message: text, remainingMinutes });
    }
    case 'sessionPaused':
      return turned(m, 'paused', message);
    case 'sessionResumed':
      return turned(m, 'resumed', message);
    case 'sessionMuted':
      return turned(m, 'muted', message);
    case 'sessionUnmuted':
      return turned(m, 'unmuted', message);
    case 'languageChanged': {
      const question = answered(m, 'languageChanged');
      return languageChanged(m, message['targetLanguage'], question);
    }
    case 'broadcastState':
      return stateChanged(m, message['broadcastState']);
    case 'sessionStatus':
      return status(m, message);
    case 'audioData':
      return hearJson(m, message);
    case 'sessionEnded':
      return ended(m, message);
    case 'error':
      return refused(m, errorOf(message));
  }
}

/**
 * @param {Machine} m
 * @param {ServerError} error
 */
function refused(m, error) {
  const operation = error.details?.['operation'];
  if (error.code === 'CONNECTION_NOT_FOUND') return recordLost(m);
  if (error.code === 'RATE_LIMIT_EXCEEDED' && operation === 'heartbeat') {
    // A refused heartbeat was a sign of life all the same, and of nothing more.
    takeQuestion(m, 'heartbeatAck');
    return undefined;
  }
  // It was a frame, and no wish.
  if (error.code === 'RATE_LIMIT_EXCEEDED' && operation === 'audio') {
    return m.deliver('error', error);
  }
  // Which question it answers is not said: the answers that come are the user's from here on.
  if (m.up) m.up.asked = m.up.asked.filter(({ answer }) => /Ack|pong/.test(answer));
  forgetWishes(m);
  forgetTarget(m, error);
  return m.deliver('error', error);
}

/**
 * To the server, the answers to our own questions are told. So what is new in them is told to the
 * user, and what is not, as often as the server would have.
 *
 * @param {Machine} m
 * @param {ServerMessage} message
 */
function status(m, message) {
  const { updateReason = '', broadcastState: state } = message;
  const { speaking } = m;
  if (!speaking) return;
  const listeners = message['listenerCount'];
  const languages = message['languageDistribution'] ?? {};
  const durationSecs = message['sessionDuration'];
  const content = JSON.stringify([listeners, languages]);
  const question = updateReason === 'requested' ? answered(m, 'sessionStatus') : undefined;
  const isOurs = question?.isOurs === true;
  const isDue = content !== speaking.told || m.now >= speaking.toldAt + m.timing.statusEvery;
  if (isOurs && !isDue) return;
  if (!isOurs) speaking.asksStatus = false;
  Object.assign(speaking, { told: content, toldAt: m.now });
  const reason = isOurs ? 'periodic' : updateReason;
  m.deliver('status', { listeners, languages, durationSecs, state, reason });
}

/**
 * @param {Machine} m
 * @param {ServerMessage} message
 */
function ended(m, { reason, message }) {
  m.deliver('ended', { reason, message });
  m.finish({ why: 'ended', message: 'the session is over' });
}

/**
 * @param {ServerMessage} message
 * @returns {ServerError}
 */
function errorOf({ code, message, requestId, details }) {
  return { code, message, requestId, details };
}

/**
 * @param {Machine} m
 * @param {'paused' | 'resumed' | 'muted' | 'unmuted'} name
 * @param {ServerMessage} turn
 */
function turned(m, name, { broadcastState: state, message, reason }) {
  if (m.isNewest(state)) m.deliver(name, { state, message, reason });
}
