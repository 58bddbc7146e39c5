/**
 * Tokens of the server's own issuer, as `ambo token --user NAME` prints them.
 *
 * @module
 */

/** The server bears clocks that differ by this much, in seconds. */
const LEEWAY = 30;

/**
 * What a token says. It is not verified here: that is the server's part.
 *
 * @param {string} token
 * @returns {{ sub?: string, exp?: number, iss?: string } & Record<string, unknown>}
 */
export function claimsOf(token) {
  const [, payload = ''] = token.split('.');
  try {
    const text = atob(payload.replaceAll('-', '+').replaceAll('_', '/'));
    const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw new Error('This is no token.');
  }
}

/**
 * A token provider for a speaker that finds out before the server does that a token is no
 * longer good, and says so in words.
 *
 * @param {string | (() => string | Promise<string>)} source The token, or where to find it, such
 *   as a field of a form or a file.
 * @param {() => number} [now] Unix milliseconds.
 * @returns {() => Promise<string>}
 */
export function builtinToken(source, now = Date.now) {
  return async () => {
    const token = (typeof source === 'string' ? source : await source()).trim();
    const { exp } = claimsOf(token);
    if (exp !== undefined && exp + LEEWAY < now() / 1_000) {
      throw new Error('The token has expired: print a new one with `ambo token`.');
    }
    return token;
  };
}
