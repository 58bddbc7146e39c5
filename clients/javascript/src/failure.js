/** Why there is no connection, and whether trying again can help. */

import { closeSentence, comesBack } from './close.js';

/** @import { CloseReason } from './close.js' */

/**
 * An error of the server. Tell errors apart by `code`; `message` is for people.
 *
 * @typedef {object} ServerError
 * @property {string} code
 * @property {string} message
 * @property {string} [requestId]
 * @property {Record<string, unknown>} [details]
 */

/**
 * Why there is no connection.
 *
 * - `unreachable`: nobody answers, or no Ambo server does.
 * - `refused`: the server said no; `status` is the HTTP status, or the one that goes with the code
 *   of `error`; `retryAfter` (ms) is when the server asks to come back, if it does.
 * - `closed`: the connection was closed; `reason` says why.
 * - `noToken`: the token provider has no token.
 *
 * @typedef {object} Failure
 * @property {'unreachable' | 'refused' | 'closed' | 'noToken'} kind
 * @property {string} message For people.
 * @property {number} [status]
 * @property {ServerError} [error]
 * @property {number} [retryAfter]
 * @property {CloseReason} [reason]
 */

/** @type {Record<string, number>} The statuses of the codes. */
const STATUS = {
  INVALID_ACTION: 400,
  INVALID_MESSAGE: 400,
  INVALID_PARAMETERS: 400,
  INVALID_SESSION_ID: 400,
  INVALID_LANGUAGE: 400,
  UNSUPPORTED_LANGUAGE: 400,
  UNAUTHORIZED: 401,
  FORBIDDEN: 403,
  SESSION_NOT_FOUND: 404,
  CONNECTION_NOT_FOUND: 404,
  MESSAGE_TOO_LARGE: 413,
  RATE_LIMIT_EXCEEDED: 429,
  SESSION_FULL: 503,
  SERVICE_UNAVAILABLE: 503,
};

const TOO_MANY_REQUESTS = 429;

/**
 * @param {string} message
 * @returns {Failure}
 */
export function unreachable(message) {
  return { kind: 'unreachable', message };
}

/**
 * A refusal that came as a message. A code that this version does not know may pass, so it counts
 * as 500.
 *
 * @param {ServerError} error
 * @returns {Failure}
 */
export function refused(error) {
  const status = STATUS[error.code] ?? 500;
  const seconds = Number(error.details?.['retryAfter']);
  const retryAfter = seconds > 0 ? seconds * 1_000 : undefined;
  return { kind: 'refused', message: error.message, status, error, retryAfter };
}

/**
 * @param {CloseReason} reason
 * @returns {Failure}
 */
export function closedBy(reason) {
  return { kind: 'closed', message: closeSentence(reason), reason };
}

/**
 * Whether the server has surely done nothing of what it was asked for. After a fault of its own,
 * or without its answer, nobody knows.
 *
 * @param {Failure} failure
 */
export function hasChangedNothing({ kind, status = 500 }) {
  return kind === 'noToken' || (kind === 'refused' && status >= 400 && status < 500);
}

/**
 * Whether trying again is pointless: a refusal of class 4xx, but for "too many requests", or a
 * close that means the same.
 *
 * @param {Failure} failure
 */
export function isFinal(failure) {
  const { kind, status = 500, reason } = failure;
  if (kind === 'refused') return status >= 400 && status < 500 && status !== TOO_MANY_REQUESTS;
  return kind === 'closed' && !!reason && !comesBack(reason);
}
