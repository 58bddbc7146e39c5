/** What only a speaker does. */

import { Frames } from '../frames.js';
import { encodeFrame, MAX_AUDIO, toBase64 } from '../wire.js';
import { ask, LEFT } from './connect.js';

/** @import { Frame } from '../frames.js' */
/** @import { Control, Framing } from '../input.js' */
/** @import { Machine, Role, Speaking } from '../machine.js' */
/** @import { AudioFrame, BroadcastState } from '../wire.js' */

/**
 * @param {Extract<Role, { kind: 'speaker' }>} role
 * @returns {Speaking}
 */
export function speaking({ sourceLanguage: language, qualityTier }) {
  const state = { isPaused: false, isMuted: false, lastStateChange: 0 };
  return {
    language,
    qualityTier,
    frames: new Frames(),
    state,
    wish: {},
    unanswered: 0,
    asksStatus: false,
    told: '',
    toldAt: 0,
  };
}

/**
 * Whether audio will flow once the server has caught up with the wishes.
 *
 * @param {Speaking} speaking
 */
function wantsAudio({ state, wish }) {
  const isPaused = wish.isPaused?.isOn ?? state.isPaused;
  return !isPaused && !(wish.isMuted?.isOn ?? state.isMuted);
}

/**
 * Whether the server takes audio. It refuses the rest silently, so nothing may be sent that
 * listeners would then miss.
 *
 * @param {Speaking} speaking
 */
function maySpeak(speaking) {
  return wantsAudio(speaking) && !speaking.state.isPaused && !speaking.state.isMuted;
}

/**
 * The session is new: all that waits may go.
 *
 * @param {Machine} m
 */
export function beginToSpeak(m) {
  m.speaking?.frames.rewind(undefined, m.now, m.timing);
  tellWishes(m);
}

/**
 * The session was there already and has its own language.
 *
 * @param {Machine} m
 * @param {string} sourceLanguage
 */
export function floorIs(m, sourceLanguage) {
  // What is no language could not be put into a frame.
  if (m.speaking && /^[a-z]{2}$/.test(sourceLanguage)) m.speaking.language = sourceLanguage;
}

/**
 * Takes a frame up. While the broadcast is paused, only a configuration is kept.
 *
 * @param {Machine} m
 * @param {Frame} frame
 */
export function say(m, frame) {
  const { speaking } = m;
  const { length } = frame.payload;
  if (!speaking || m.leaving || length < 1 || length > MAX_AUDIO) return;
  if (frame.kind === 'configuration' || wantsAudio(speaking)) {
    tellDropped(m, speaking.frames.push(frame, m.now, m.timing));
  }
}

/**
 * Hands out the frames that may go now.
 *
 * @param {Machine} m
 */
export function speak(m) {
  const { speaking, up } = m;
  if (!speaking || !up) return;
  while (maySpeak(speaking) && up.inFlight < m.timing.framesInFlight) {
    const frame = speaking.frames.next(m.now, speaking.language, m.timing);
    if (!frame) break;
    const data = framed(frame, up.framing);
    if (data) {
      up.inFlight += 1;
      m.effects.push({ type: 'audio', socket: up.socket, data });
    }
  }
  endWhenAllIsSaid(m);
}

/**
 * @param {Machine} m
 * @returns {number | undefined}
 */
export function speechDeadline({ speaking, up, timing }) {
  if (!speaking || !up || !maySpeak(speaking)) return undefined;
  return up.inFlight < timing.framesInFlight ? speaking.frames.deadline(timing) : undefined;
}

/**
 * @param {Machine} m
 * @param {Control} control
 * @param {string} [message]
 */
export function control(m, control, message) {
  const { speaking } = m;
  if (!speaking) return;
  const steering = { isOn: control === 'pause' || control === 'mute', message };
  if (control === 'pause' || control === 'resume') speaking.wish.isPaused = steering;
  else speaking.wish.isMuted = steering;
  if (!wantsAudio(speaking)) tellDropped(m, speaking.frames.forgetWaiting());
  tellControl(m, control, message);
}

/**
 * Without a connection the wish waits; it is told when there is one again.
 *
 * @param {Machine} m
 * @param {Control} command
 * @param {string} [message]
 */
function tellControl(m, command, message) {
  if (!m.speaking || !m.up) return;
  m.speaking.unanswered += 1;
  m.tell(m.up, { action: 'controlSession', command, message });
}

/**
 * After a connection was made: tells what the server does not know yet.
 *
 * @param {Machine} m
 */
export function tellWishes(m) {
  const { speaking } = m;
  if (!speaking) return;
  speaking.unanswered = 0;
  confirmWishes(speaking);
  const { isPaused, isMuted } = speaking.wish;
  if (isPaused) tellControl(m, isPaused.isOn ? 'pause' : 'resume', isPaused.message);
  if (isMuted) tellControl(m, isMuted.isOn ? 'mute' : 'unmute', isMuted.message);
  askAgain(m);
  tellTheEndAgain(m);
}

/**
 * What was told on a connection that is gone may not have arrived: it was lost, or the connection
 * had been superseded already.
 *
 * @param {Machine} m
 */
export function tellTheEndAgain({ leaving }) {
  if (leaving) leaving.answerBy = undefined;
}

/**
 * The connection on which the end was told is superseded, so no answer will come on it.
 *
 * @param {Machine} m
 */
export function awaitTheMove({ leaving }) {
  if (leaving?.answerBy) leaving.answerBy = Math.max(leaving.answerBy, leaving.until);
}

/**
 * The server's word on the broadcast.
 *
 * @param {Machine} m
 * @param {BroadcastState} state
 */
export function stateChanged(m, state) {
  const isNewest = m.isNewest(state);
  if (m.speaking) {
    if (isNewest) m.speaking.state = state;
    // An answer that was overtaken is one all the same.
    m.speaking.unanswered = Math.max(0, m.speaking.unanswered - 1);
    if (m.speaking.unanswered === 0) confirmWishes(m.speaking);
  }
  if (isNewest) m.deliver('state', state);
}

/** @param {Speaking} speaking */
function confirmWishes({ state, wish }) {
  if (wish.isPaused?.isOn === state.isPaused) delete wish.isPaused;
  if (wish.isMuted?.isOn === state.isMuted) delete wish.isMuted;
}

/**
 * The server would not; what it said last holds.
 *
 * @param {Machine} m
 */
export function forgetWishes(m) {
  if (m.speaking) Object.assign(m.speaking, { wish: {}, unanswered: 0 });
}

/** @param {Machine} m */
export function askStatus(m) {
  if (m.speaking) m.speaking.asksStatus = true;
  askAgain(m);
}

/**
 * Asks what the user wants to know. Without a connection, the next one is asked.
 *
 * @param {Machine} m
 */
function askAgain(m) {
  if (!m.up || !m.speaking?.asksStatus) return;
  ask(m, m.up, 'sessionStatus', { action: 'getSessionStatus' }, { isOurs: false });
}

/**
 * @param {Machine} m
 * @param {string} [reason]
 */
export function end(m, reason) {
  if (m.hearing) m.finish(LEFT);
  else m.leaving ??= { reason, until: m.now + m.timing.queueSpan };
}

/** @param {Machine} m */
function endWhenAllIsSaid(m) {
  const { speaking, up, leaving } = m;
  if (!speaking || !up || !leaving || leaving.answerBy !== undefined) return;
  // What waits for the answer to a wish is still to be said.
  if (!speaking.frames.isDrained && wantsAudio(speaking)) return;
  // It waited for one that was refused.
  tellDropped(m, speaking.frames.forgetWaiting());
  leaving.answerBy = m.now + m.timing.endLimit;
  m.tell(up, { action: 'endSession', reason: leaving.reason });
}

/**
 * When the server does not answer, the close frame ends the session.
 *
 * @param {Machine} m
 */
export function lookAtTheEnd(m) {
  const { leaving } = m;
  if (leaving && (leaving.answerBy ?? leaving.until) <= m.now) m.finish(LEFT);
}

/**
 * @param {Machine} m
 * @param {number} frames
 */
export function tellDropped(m, frames) {
  if (frames > 0) m.deliver('dropped', { frames });
}

/**
 * A configuration exists in the binary framing only.
 *
 * @param {AudioFrame} frame
 * @param {Framing} framing
 */
function framed(frame, framing) {
  if (framing === 'binary') return encodeFrame(frame);
  if (frame.kind === 'configuration') return undefined;
  const { payload, sequence } = frame;
  return JSON.stringify({ action: 'sendAudio', audioData: toBase64(payload), sequence });
}
