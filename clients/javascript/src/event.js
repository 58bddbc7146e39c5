/** What the user is told. */

/** @import { CloseReason } from './close.js' */
/** @import { Failure, ServerError } from './failure.js' */
/** @import { AudioFrame, BroadcastState } from './wire.js' */

/**
 * A turn of the broadcast. `reason` is `speakerLost`, if that is why.
 *
 * @typedef {{ state: BroadcastState, message?: string, reason?: string }} Turn
 */

/**
 * Who listens. `reason` is `requested`, `periodic`, `listenerCountChange` or `newLanguage`.
 *
 * @typedef {{ listeners: number, languages: Record<string, number>, durationSecs: number,
 *   state: BroadcastState, reason: string }} Status
 */

/**
 * How a member has moved. Speaker: frames that are sent again. Listener: frames that the server
 * sends again.
 *
 * @typedef {{ replayed: number }} Resumed
 */

/**
 * Why the client is done.
 *
 * - `ended`: the session is over; `ended` said why.
 * - `left`: as the user wished.
 * - `byServer`: the server closed the connection for a `reason` that coming back would not mend.
 * - `failed`: there was never a connection, or none could be had again; `failure` says why.
 *
 * @typedef {{ why: 'ended' | 'left' | 'byServer' | 'failed', message: string,
 *   reason?: CloseReason, failure?: Failure }} Closed
 */

/**
 * Everything that can be told, by name. `closed` is the last, and comes once.
 *
 * - `sessionCreated`: speaker, the session is there. `sessionTaken`: one that was there already is
 *   taken up. `sessionJoined`: listener, there is a seat.
 * - `audio`: listener, a frame, in order, once. `configuration`: what a decoder must know before
 *   the frames that follow. `gap`: frames are missing before the next one.
 * - `status`: speaker, who listens. `state`: speaker, what a command has made of the broadcast;
 *   listener, what became of it while a connection was made (on AWS).
 * - `paused`: listener, the speaker has paused, or is lost and awaited. `resumed`, `muted`,
 *   `unmuted`, `languageChanged`: what they say.
 * - `refreshing`: a new connection is being made while the old one serves. `refreshed`: it serves,
 *   and nothing was lost. `refreshFailed`: it was not to be had; tried again in `retryIn` ms, or
 *   never after a refusal that would be the same again.
 * - `reconnecting`: the connection is lost, or the attempt to come back has failed. `reconnected`:
 *   it is back. `reconnectFailed`: it cannot come back; `closed` follows.
 * - `warning`: the connection is old, and no new one could be had so far.
 * - `error`: the server refused something, or a listener of an event has thrown. The connection
 *   stays.
 * - `dropped`: speaker, frames were not sent; listener, frames were not taken in time.
 * - `ended`: the session is over: `speakerEnded`, `speakerLost`, `expired`, `closedByOperator`.
 *
 * @typedef {object} Events
 * @property {{ sessionId: string, sourceLanguage: string, expiresAt: number }} sessionCreated
 * @property {{ sessionId: string, sourceLanguage: string, state?: BroadcastState }} sessionTaken
 * @property {{ sessionId: string, sourceLanguage: string, targetLanguage: string,
 *   state: BroadcastState }} sessionJoined
 * @property {AudioFrame} audio
 * @property {AudioFrame} configuration
 * @property {{ frames: number }} gap
 * @property {Status} status
 * @property {BroadcastState} state
 * @property {Turn} paused
 * @property {Turn} resumed
 * @property {Turn} muted
 * @property {Turn} unmuted
 * @property {{ targetLanguage: string }} languageChanged
 * @property {{ reason: string }} refreshing
 * @property {Resumed} refreshed
 * @property {{ failure: Failure, retryIn?: number }} refreshFailed
 * @property {{ failure: Failure, attempt: number, retryIn: number }} reconnecting
 * @property {Resumed} reconnected
 * @property {{ failure: Failure }} reconnectFailed
 * @property {{ message: string, remainingMinutes: number }} warning
 * @property {ServerError} error
 * @property {{ frames: number }} dropped
 * @property {{ reason: string, message: string }} ended
 * @property {Closed} closed
 */

/**
 * An event with its name.
 *
 * @typedef {{ [Name in keyof Events]: { name: Name, detail: Events[Name] } }[keyof Events]} Event
 */

export {};
