/** Making a connection, losing it, coming back. */

import { Backoff } from '../backoff.js';
import { closeReason, closeSentence, comesBack } from '../close.js';
import { closedBy, isFinal, unreachable } from '../failure.js';
import { Pulse } from '../pulse.js';
import { languageIsRefused } from './hear.js';
import { refreshFailed } from './refresh.js';
import { tellTheEndAgain } from './speak.js';

/** @import { Closed } from '../event.js' */
/** @import { Failure } from '../failure.js' */
/** @import { Input } from '../input.js' */
/** @import { Machine, Opening, Up } from '../machine.js' */

/** What the server need not answer is forgotten. */
const MOST_QUESTIONS = 16;

/** @param {Machine} m */
export function start(m) {
  if (m.link.at === 'idle') m.link = { at: 'opening', opening: open(m) };
}

/**
 * A new socket that is to be answered in time.
 *
 * @param {Machine} m
 * @returns {Opening}
 */
export function open(m) {
  m.sockets += 1;
  const socket = m.sockets;
  m.effects.push({ type: 'open', socket, query: query(m), wantsToken: !!m.speaking });
  return { socket, canPing: false, until: m.now + m.timing.connectLimit };
}

/**
 * What to ask for: a session or a seat at first, then to go on.
 *
 * @param {Machine} m
 * @returns {Record<string, string | undefined>}
 */
function query({ session: sessionId, speaking, hearing }) {
  if (speaking && !sessionId) {
    const { language: sourceLanguage, qualityTier } = speaking;
    return { action: 'createSession', sourceLanguage, qualityTier };
  }
  const action = 'refreshConnection';
  if (!hearing) return { action, sessionId, role: 'speaker' };
  const targetLanguage = hearing.target;
  if (!hearing.confirmed) return { action: 'joinSession', sessionId, targetLanguage };
  const { refreshToken } = hearing;
  // Who has heard nothing so far would miss what is said while it moves; 0 asks for all of it.
  const lastSequence = String(hearing.order.lastSequence ?? 0);
  return { action, sessionId, role: 'listener', targetLanguage, refreshToken, lastSequence };
}

/**
 * @param {Machine} m
 * @param {Extract<Input, { type: 'opened' }>} input
 */
export function opened(m, { socket, framing, canPing }) {
  for (const opening of [m.opening, m.refresh?.opening]) {
    if (opening?.socket === socket) Object.assign(opening, { framing, canPing });
  }
}

/**
 * The server has answered: the connection serves from now on.
 *
 * @param {Machine} m
 * @param {Opening} opening
 */
export function goUp(m, { socket, framing = 'json', canPing }) {
  const { pingAfter, confirmAfter } = m.timing;
  // Pings are cheap, and their answers tell a speaker what need not be sent again.
  const silence = m.speaking && canPing ? Math.min(pingAfter, confirmAfter) : pingAfter;
  m.link = {
    at: 'up',
    up: {
      socket,
      framing,
      canPing,
      // A refresh leaves no gap: it is one connection over it.
      since: m.up?.since ?? m.now,
      pulse: new Pulse(m.now, m.timing, m.random, silence),
      inFlight: 0,
      asked: [],
      mayBeSuperseded: false,
      isForgotten: false,
    },
  };
}

/** @param {Machine} m */
export function lookAtTheLink(m) {
  const { link, now } = m;
  if (link.at === 'opening' && link.opening.until <= now) {
    m.effects.push({ type: 'abort', socket: link.opening.socket });
    attemptFailed(m, unanswered(m));
  } else if (link.at === 'down' && link.retryAt <= now) {
    m.link = { at: 'opening', opening: open(m) };
  } else if (link.at === 'up') {
    lookAtThePulse(m, link.up);
  }
}

/**
 * @param {Machine} m
 * @param {Up} up
 */
function lookAtThePulse(m, up) {
  for (;;) {
    switch (up.pulse.due(m.now, m.timing, m.random)) {
      case undefined:
        return;
      case 'beat':
        ask(m, up, 'heartbeatAck', { action: 'heartbeat' });
        break;
      case 'ping':
        ping(m, up);
        break;
      case 'lost':
        m.effects.push({ type: 'abort', socket: up.socket });
        lost(m, unreachable('the server has fallen silent'));
        return;
    }
  }
}

/**
 * Asks for a sign of life.
 *
 * @param {Machine} m
 * @param {Up} up
 */
function ping(m, up) {
  if (!up.canPing) return question(m, up);
  up.asked.push({ answer: 'pong', at: m.now, isOurs: true });
  m.effects.push({ type: 'ping', socket: up.socket });
}

/**
 * Asks what the server answers only to a member: a heartbeat if it allows one more, else something
 * whose answer is known.
 *
 * @param {Machine} m
 * @param {Up} up
 */
export function question(m, up) {
  if (up.pulse.hasSpareBeat(m.now, m.timing)) {
    up.pulse.beat(m.now, m.timing, m.random);
    ask(m, up, 'heartbeatAck', { action: 'heartbeat' });
  } else if (m.hearing) {
    ask(m, up, 'languageChanged', { action: 'changeLanguage', targetLanguage: m.hearing.target });
  } else {
    ask(m, up, 'sessionStatus', { action: 'getSessionStatus' });
  }
}

/**
 * @param {Machine} m
 * @param {Up} up
 * @param {string} answer
 * @param {Record<string, unknown>} message
 * @param {{ isOurs: boolean }} [whose]
 */
export function ask(m, up, answer, message, { isOurs } = { isOurs: true }) {
  up.asked.push({ answer, at: m.now, isOurs });
  if (up.asked.length > MOST_QUESTIONS) up.asked.shift();
  m.tell(up, message);
}

/**
 * @param {Machine} m
 * @param {number} socket
 * @param {number | undefined} code
 * @param {string | undefined} text
 */
export function closed(m, socket, code, text) {
  const reason = closeReason(code, text);
  const origin = m.origin(socket);
  if (origin === 'second') refreshFailed(m, closedBy(reason));
  if (origin !== 'first') return;
  if (m.opening) attemptFailed(m, closedBy(reason));
  else if (reason === 'finished' && m.leaving) m.finish(LEFT);
  else if (comesBack(reason) || isOurDoing(m, reason)) lost(m, closedBy(reason));
  else m.finish({ why: 'byServer', message: closeSentence(reason), reason });
}

/**
 * Whether it was an attempt of our own that took this connection's place, and was lost.
 *
 * @param {Machine} m
 * @param {import('../close.js').CloseReason} reason
 */
function isOurDoing(m, reason) {
  return reason === 'superseded' && m.mayBeSuperseded;
}

/**
 * @param {Machine} m
 * @param {number} socket
 * @param {Failure} failure
 */
export function failed(m, socket, failure) {
  const origin = m.origin(socket);
  if (origin === 'second') refreshFailed(m, failure);
  if (origin !== 'first') return;
  if (m.opening) attemptFailed(m, failure);
  else lost(m, failure);
}

/**
 * An attempt to connect has failed. The first one is the user's to repeat: the address may be
 * wrong.
 *
 * @param {Machine} m
 * @param {Failure} failure
 */
export function attemptFailed(m, failure) {
  m.link = { at: 'idle' };
  // Only what was up once can be lost.
  if (m.lostAt === undefined) {
    m.finish(failedBy(failure));
  } else if (languageIsRefused(m, failure)) {
    wait(m, failure);
  } else if (isFinal(failure) && m.leaving) {
    m.finish(LEFT);
  } else if (isFinal(failure) || m.now >= m.lostAt + m.timing.reconnectLimit) {
    m.deliver('reconnectFailed', { failure });
    m.finish(failedBy(failure));
  } else {
    wait(m, failure);
  }
}

/** @type {Closed} */
export const LEFT = { why: 'left', message: 'as you wished' };

/**
 * @param {Failure} failure
 * @returns {Closed}
 */
export function failedBy(failure) {
  return { why: 'failed', message: failure.message, failure };
}

/**
 * The connection that served is gone.
 *
 * @param {Machine} m
 * @param {Failure} failure
 */
export function lost(m, failure) {
  // One that falls over at once was none, or a server that greets and dies would be stormed.
  if (m.up && m.now >= m.up.since + m.timing.steadyAfter) {
    m.backoff = new Backoff();
    m.lostAt = undefined;
  }
  m.lostAt ??= m.now;
  tellTheEndAgain(m);
  const second = m.refresh?.opening;
  m.refresh = undefined;
  if (second) {
    // The second socket of a refresh is on its way to the same end.
    m.deliver('reconnecting', { failure, attempt: m.backoff.failures + 1, retryIn: 0 });
    m.link = { at: 'opening', opening: second };
    return;
  }
  wait(m, failure);
}

/**
 * @param {Machine} m
 * @param {Failure} failure
 */
function wait(m, failure) {
  const away = m.now - (m.lostAt ?? m.now);
  const retryIn = m.backoff.afterLoss(failure.retryAfter, away, m.timing, m.random);
  m.deliver('reconnecting', { failure, attempt: m.backoff.failures, retryIn });
  const notBefore = m.now + (failure.retryAfter ?? 0);
  m.link = { at: 'down', retryAt: m.now + retryIn, notBefore };
}

/** @param {Machine} m */
export function leave(m) {
  m.finish(LEFT);
}

/**
 * The network has changed: waits are over, and a line that looks alive must prove it. What the
 * server asked for is still obeyed.
 *
 * @param {Machine} m
 */
export function wake(m) {
  const { link, refresh, up } = m;
  if (link.at === 'down') link.retryAt = Math.max(m.now, link.notBefore);
  if (refresh?.until !== undefined) refresh.until = Math.max(m.now, refresh.notBefore);
  up?.pulse.doubt(m.now);
}

/** @param {Machine} m */
export function unanswered(m) {
  return unreachable(`no answer within ${Math.ceil(m.timing.connectLimit / 1_000)} s`);
}
