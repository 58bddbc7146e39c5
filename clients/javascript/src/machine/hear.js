/** What only a listener does. */

import { fromBase64 } from '../wire.js';
import { ask } from './connect.js';

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
  if (!up || !hearing || hearing.confirmed === hearing.target) return;
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
  if (m.hearing) m.hearing.confirmed = targetLanguage;
  if (isNew || !question?.isOurs) m.deliver('languageChanged', { targetLanguage });
}

/**
 * @param {Machine} m
 * @param {string} targetLanguage
 */
export function languageAgreed(m, targetLanguage) {
  if (m.hearing) m.hearing.confirmed = targetLanguage;
  tellLanguage(m);
}

/**
 * The server would not; what it agreed to last holds.
 *
 * @param {Machine} m
 */
export function forgetTarget(m) {
  if (m.hearing?.confirmed) m.hearing.target = m.hearing.confirmed;
}
