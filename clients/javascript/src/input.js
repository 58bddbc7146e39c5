/** What the machine is told: by its sockets, by its user, by the clock. */

/** @import { Failure } from './failure.js' */
/** @import { Frame } from './frames.js' */

/** @typedef {'pause' | 'resume' | 'mute' | 'unmute'} Control */

/**
 * How audio travels on a socket, by what the server has chosen of what was offered: `binary` with
 * the subprotocol `ambo.v1`, else `json`.
 *
 * @typedef {'binary' | 'json'} Framing
 */

/**
 * Something that happened. `socket` names one socket of one machine and is never used again.
 *
 * - `start`: begin, open the first socket.
 * - `opened`: a socket has finished its handshake; the first message is still to come. `canPing`
 *   says whether the shell can send WebSocket pings on it; browsers cannot.
 * - `text`, `binary`: a message. `heard`: another sign of life, such as a ping.
 * - `pong`: the answer to our ping; what was sent before it has arrived.
 * - `written`: audio has left for the network.
 * - `closed`: the socket is closed, with the code and text of the close frame if there was one.
 * - `failed`: the socket could not be opened.
 * - `send`, `control`, `status`, `end`, `changeLanguage`: what the user wants.
 * - `leave`: the user goes at once. For a speaker this ends the session too.
 * - `wake`: the network may be back, do not wait any longer.
 * - `tick`: the machine's deadline has come.
 *
 * @typedef {(
 *   | { type: 'start' | 'status' | 'leave' | 'wake' | 'tick' }
 *   | { type: 'opened', socket: number, framing: Framing, canPing: boolean }
 *   | { type: 'text', socket: number, text: string }
 *   | { type: 'binary', socket: number, bytes: ArrayBuffer | Uint8Array }
 *   | { type: 'heard' | 'pong', socket: number }
 *   | { type: 'written', socket: number, frames: number }
 *   | { type: 'closed', socket: number, code?: number, reason?: string }
 *   | { type: 'failed', socket: number, failure: Failure }
 *   | { type: 'send', frame: Frame }
 *   | { type: 'control', control: Control, message?: string }
 *   | { type: 'end', reason?: string }
 *   | { type: 'changeLanguage', target: string }
 * )} Input
 */

export {};
