/**
 * Speaker and listener for Ambo, the session server for live multilingual broadcasts.
 *
 * {@link Speaker} and {@link Listener} are what programs use. Behind them the {@link Machine}
 * decides everything: it is told what happens and says what to do, so that its behaviour is tested
 * without sockets and without waiting.
 *
 * @module
 */

/** @typedef {import('./close.js').CloseReason} CloseReason */
/** @typedef {import('./effect.js').Effect} Effect */
/** @typedef {import('./event.js').Closed} Closed */
/** @typedef {import('./event.js').Event} Event */
/** @typedef {import('./event.js').Events} Events */
/** @typedef {import('./event.js').Resumed} Resumed */
/** @typedef {import('./event.js').Status} Status */
/** @typedef {import('./event.js').Turn} Turn */
/** @typedef {import('./failure.js').Failure} Failure */
/** @typedef {import('./failure.js').ServerError} ServerError */
/** @typedef {import('./frames.js').Frame} Frame */
/** @typedef {import('./input.js').Control} Control */
/** @typedef {import('./input.js').Framing} Framing */
/** @typedef {import('./input.js').Input} Input */
/** @typedef {import('./listener.js').ListenerOptions} ListenerOptions */
/** @typedef {import('./listener.js').ListenerOwnOptions} ListenerOwnOptions */
/** @typedef {import('./machine.js').Role} Role */
/** @typedef {import('./member.js').MemberOptions} MemberOptions */
/** @typedef {import('./speaker.js').Bytes} Bytes */
/** @typedef {import('./speaker.js').SpeakerOptions} SpeakerOptions */
/** @typedef {import('./speaker.js').SpeakerOwnOptions} SpeakerOwnOptions */
/** @typedef {import('./timing.js').Timing} Timing */
/** @typedef {import('./wire.js').AudioFrame} AudioFrame */
/** @typedef {import('./wire.js').BroadcastState} BroadcastState */
/** @typedef {import('./wire.js').Kind} Kind */

export { Listener } from './listener.js';
export { Machine } from './machine.js';
export { AmboError, Member } from './member.js';
export { Speaker } from './speaker.js';
export { TIMING } from './timing.js';
export { MAX_AUDIO, SUBPROTOCOL } from './wire.js';
