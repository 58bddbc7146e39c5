/** What only a listener does. */

import { fromBase64 } from '../wire.js';
import { ask } from './connect.js';

/** @import { Failure, ServerError } from '../failure.js' */
/** @import { Machine, Question } from '../machine.js' */
/** @import { AudioFrame, ServerMessage } from '../wire.js' */

/**
 * @param {Machine} m
 * @param {AudioFrame} frame
 */
export function hear(m, frame) {
  const missing = m.hearing?.order.take(frame) ?? -1;
  if (missing < 0) return;
  if (missing > 0) m.deliver('gap', { frames: missing });
  m.deliver(frame.kind, frame);
}

/**
 * A frame in JSON has no capture time.
 *
 * @param {Machine} m
 * @param {ServerMessage} message
 */
export function hearJson(m, { language, sequence, audioData }) {
  const payload = fromBase64(audioData);
  if (payload) hear(m, { kind: 'audio', language, sequence, capturedMicros: 0, payload });
}

/**
 * @param {Machine} m
 * @param {string} target
 */
export function changeLanguage(m, target) {
  if (m.hearing) m.hearing.target = target;
  tellLanguage(m);
}

/**
 * Tells the server what it does not know yet; without a connection, the next one asks for it.
 *
 * @param {Machine} m
 */
export function tellLanguage(m) {
  const { up, hearing } = m;
  if (!up || !hearing || hearing.told === hearing.target) return;
  hearing.told = hearing.target;
  const message = { action: 'changeLanguage', targetLanguage: hearing.target };
  ask(m, up, 'languageChanged', message, { isOurs: false });
}

/**
 * The answer to our own question tells nothing new.
 *
 * @param {Machine} m
 * @param {string} targetLanguage
 * @param {Question | undefined} question
 */
export function languageChanged(m, targetLanguage, question) {
  const isNew = m.hearing?.confirmed !== targetLanguage;
  if (m.hearing) {
    m.hearing.confirmed = targetLanguage;
    // The answer to the last question holds, whatever became of those before.
    if ((m.hearing.told ?? targetLanguage) === targetLanguage) m.hearing.target = targetLanguage;
  }
  if (isNew || !question?.isOurs) m.deliver('languageChanged', { targetLanguage });
}

/**
 * What a new connection was made with.
 *
 * @param {Machine} m
 * @param {string | undefined} targetLanguage
 */
export function languageAgreed(m, targetLanguage) {
  if (m.hearing) m.hearing.confirmed = m.hearing.told = targetLanguage;
  tellLanguage(m);
}

/**
 * The server would not; what it agreed to last holds. A language that was refused when the user
 * wanted another one already changes nothing. Tells whether there was one to forget.
 *
 * @param {Machine} m
 * @param {ServerError} error
 */
export function forgetTarget({ hearing }, { details }) {
  if (!hearing?.confirmed || hearing.confirmed === hearing.target) return false;
  if ((details?.['languageCode'] ?? hearing.target) !== hearing.target) return false;
  hearing.target = hearing.confirmed;
  hearing.told = undefined;
  return true;
}

/**
 * Whether a connection was refused only for a language that was wished for meanwhile. Then the one
 * that is heard holds, as it would have on an open connection.
 *
 * @param {Machine} m
 * @param {Failure} failure
 */
export function languageIsRefused(m, { error }) {
  const isLanguage =
    error?.code === 'UNSUPPORTED_LANGUAGE' || error?.details?.['field'] === 'targetLanguage';
  if (!error || !isLanguage || !forgetTarget(m, error)) return false;
  m.deliver('error', error);
  return true;
}
