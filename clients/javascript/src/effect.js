/** What the machine wants done. */

/** @import { Event } from './event.js' */

/**
 * Something for the shell to do, in the order given.
 *
 * - `open`: open a socket and report `opened` or `failed`. If `wantsToken`, ask the token provider
 *   and add its answer to the query.
 * - `text`: send a message.
 * - `audio`: send a frame in the framing of its socket, and report it as `written`.
 * - `ping`: send a ping, and report the answer as `pong`.
 * - `close`: send what was handed over and a close frame, and forget the socket.
 * - `abort`: drop the socket, or the attempt to open it, so that the server takes it as lost.
 * - `deliver`: tell the user.
 *
 * @typedef {(
 *   | { type: 'open', socket: number, query: Record<string, string | undefined>,
 *       wantsToken: boolean }
 *   | { type: 'text', socket: number, text: string }
 *   | { type: 'audio', socket: number, data: string | Uint8Array<ArrayBuffer> }
 *   | { type: 'ping', socket: number }
 *   | { type: 'close', socket: number, code: number }
 *   | { type: 'abort', socket: number }
 *   | { type: 'deliver', event: Event }
 * )} Effect
 */

export {};
