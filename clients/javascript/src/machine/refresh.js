/** Moving to a new connection while the old one serves. */

import { Backoff } from '../backoff.js';
import { closedBy, hasChangedNothing, isFinal } from '../failure.js';
import { failedBy, goUp, LEFT, lost, open, question, unanswered } from './connect.js';
import { languageAgreed, languageIsRefused } from './hear.js';
import { awaitTheMove, tellDropped, tellWishes } from './speak.js';

/** @import { Failure } from '../failure.js' */
/** @import { Resumed } from '../event.js' */
/** @import { Machine } from '../machine.js' */
/** @import { ServerMessage } from '../wire.js' */

/** The status of a session that is over. */
const NOT_FOUND = 404;

/**
 * The server wants this member on a new connection.
 *
 * @param {Machine} m
 * @param {string} reason
 * @param {string} [token]
 */
export function refreshRequired(m, reason, token) {
  if (m.hearing && token !== undefined) m.hearing.refreshToken = token;
  if (m.refresh) return;
  m.deliver('refreshing', { reason });
  m.refresh = { backoff: new Backoff(), opening: open(m), notBefore: m.now };
}

/**
 * The server has no record of this connection, so only a new one can help. A speaker waits first:
 * when another program has taken the session up, the server closes this connection as superseded,
 * and it would be wrong to take the session back.
 *
 * @param {Machine} m
 */
export function recordLost(m) {
  if (m.up) m.up.isForgotten = true;
  // Most likely the server has moved the member already, and its answer is on the way.
  if (m.refresh?.opening) return awaitTheMove(m);
  if (m.up?.mayBeSuperseded) {
    // It was a refresh of our own, and only its answer was lost.
    m.effects.push({ type: 'abort', socket: m.up.socket });
    return lost(m, closedBy('superseded'));
  }
  if (m.hearing) refreshRequired(m, 'recordLost');
  const until = m.now + m.timing.supersedeLimit;
  m.refresh ??= { backoff: new Backoff(), until, notBefore: until };
  return undefined;
}

/**
 * The second socket has become a member: it serves from here on, and the first one goes.
 *
 * @param {Machine} m
 * @param {ServerMessage} complete
 */
export function switchOver(m, complete) {
  const opening = m.refresh?.opening;
  if (!opening) return;
  m.refresh = undefined;
  if (m.up) m.effects.push({ type: 'close', socket: m.up.socket, code: 1000 });
  goUp(m, opening);
  m.deliver('refreshed', resume(m, complete));
}

/**
 * Takes up where the last connection stopped.
 *
 * @param {Machine} m
 * @param {ServerMessage} complete
 * @returns {Resumed}
 */
export function resume(m, complete) {
  const { speaking, hearing } = m;
  if (speaking) {
    const was = speaking.state;
    const told = complete['broadcastState'];
    const state = told && m.isNewest(told) ? told : was;
    speaking.state = state;
    const dropped = speaking.frames.trim(m.now, m.timing);
    const last = complete['lastSequence'];
    const replayed = speaking.frames.rewind(last, m.now, m.timing);
    tellDropped(m, dropped);
    // The answer to a command may have been lost with the connection.
    const isNews = state.isPaused !== was.isPaused || state.isMuted !== was.isMuted;
    if (isNews) m.deliver('state', state);
    tellWishes(m);
    return { replayed };
  }
  if (hearing) {
    hearing.refreshToken = undefined;
    languageAgreed(m, complete['targetLanguage'] ?? hearing.confirmed);
  }
  return { replayed: complete['replayed'] ?? 0 };
}

/**
 * @param {Machine} m
 * @param {Failure} failure
 */
export function refreshFailed(m, failure) {
  if (!m.refresh) return;
  m.refresh.opening = undefined;
  m.refresh.until = undefined;
  m.refresh.notBefore = m.now + (failure.retryAfter ?? 0);
  if (isFinal(failure) && !languageIsRefused(m, failure)) {
    m.deliver('refreshFailed', { failure });
    // The end will not be told on the first socket either.
    if (m.up?.isForgotten && failure.status === NOT_FOUND) {
      m.finish(m.leaving ? LEFT : failedBy(failure));
    }
    return;
  }
  const retryIn = m.refresh.backoff.afterFailedRefresh(failure.retryAfter, m.timing);
  m.refresh.until = m.now + retryIn;
  m.deliver('refreshFailed', { failure, retryIn });
  if (hasChangedNothing(failure) || !m.up) return;
  // Perhaps only the answer was lost. That of the old connection tells.
  m.up.mayBeSuperseded = true;
  question(m, m.up);
}

/** @param {Machine} m */
export function lookAtTheRefresh(m) {
  const { refresh } = m;
  if (refresh?.opening && refresh.opening.until <= m.now) {
    m.effects.push({ type: 'abort', socket: refresh.opening.socket });
    refreshFailed(m, unanswered(m));
  } else if (refresh && !refresh.opening && refresh.until !== undefined && refresh.until <= m.now) {
    refresh.until = undefined;
    refresh.opening = open(m);
  }
}
