/** Every limit of the client, with its reason. Times are in milliseconds. */

/**
 * How long things may take and how much may wait. The defaults suit the server's own.
 *
 * @typedef {object} Timing
 * @property {number} heartbeat Between two heartbeats. A third of the silence the server bears.
 * @property {number} heartbeatJitter How much earlier or later a heartbeat comes, so that clients
 *   do not beat together.
 * @property {number} heartbeatsAtOnce Heartbeats that the server allows at once.
 * @property {number} pingAfter Silence of the server after which it is asked for a sign of life.
 * @property {number} pongLimit Time for its answer. With `pingAfter` it makes the 10 s in which a
 *   dead line is noticed.
 * @property {number} confirmAfter The same for a speaker where there are pings, whose answers tell
 *   what has arrived: the less is kept, the sooner it has caught up after a server was killed.
 * @property {number} statusEvery How often a speaker is told who listens although nothing changed.
 * @property {number} connectLimit Time for a connection to be made and answered, TLS and all.
 * @property {number} firstRetry The first wait after a failure; each further one may be twice as
 *   long.
 * @property {number} longestRetry The longest wait: a server that comes back is found soon, and
 *   not stormed.
 * @property {number} steadyAfter A connection that lived this long was a good one: waits begin
 *   anew after it.
 * @property {number} reconnectLimit When a lost connection is given up: no session lives longer
 *   without its speaker.
 * @property {number} supersedeLimit Time for the server to close a connection that was superseded;
 *   it takes 30 s at most.
 * @property {number} endLimit Time for the server to answer the wish to end the session.
 * @property {number} queueSpan Audio kept while there is no connection. Older audio would be heard
 *   too late to matter.
 * @property {number} queueBytes The same in bytes: 30 s of CD-quality stereo fit.
 * @property {number} queueFrames The same in frames, so that no rate fills the memory.
 * @property {number} framesPerSecond Frames in a second when catching up; the server allows 100.
 * @property {number} framesAtOnce Frames at once when catching up; the server allows 200.
 * @property {number} framesInFlight Frames handed to the socket that it has not yet written: what
 *   a stalled line cannot undo.
 * @property {number} bufferSpan How long heard audio waits for a slow `for await`.
 * @property {number} bufferFrames The same in frames: all that the server sends again at once.
 */

/** @type {Readonly<Timing>} */
export const TIMING = Object.freeze({
  heartbeat: 30_000,
  heartbeatJitter: 1_500,
  heartbeatsAtOnce: 4,
  pingAfter: 5_000,
  pongLimit: 5_000,
  confirmAfter: 2_000,
  statusEvery: 30_000,
  connectLimit: 10_000,
  firstRetry: 1_000,
  longestRetry: 30_000,
  steadyAfter: 2_000,
  reconnectLimit: 7_200_000,
  supersedeLimit: 31_000,
  endLimit: 10_000,
  queueSpan: 30_000,
  queueBytes: 8 * 1024 * 1024,
  queueFrames: 4_096,
  framesPerSecond: 90,
  framesAtOnce: 150,
  framesInFlight: 64,
  bufferSpan: 5_000,
  bufferFrames: 1_500,
});
