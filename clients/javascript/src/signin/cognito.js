/**
 * Sign-in with Amazon Cognito by user name and password, over plain HTTPS.
 *
 * The app client of the user pool must allow the flows `ALLOW_USER_PASSWORD_AUTH` and
 * `ALLOW_REFRESH_TOKEN_AUTH`, and have no secret.
 *
 * @module
 */

/** A token is renewed so long before it ends, in ms: it must last for the journey. */
const EARLY = 5 * 60_000;

/** Cognito has this long to answer, in ms: a connection waits for its token, and so do others. */
const LIMIT = 8_000;

/**
 * @typedef {object} CognitoOptions
 * @property {string} region Such as `eu-west-1`.
 * @property {string} clientId Of the app client.
 * @property {string} [refreshToken] Of an earlier sign-in, to go on without the password.
 * @property {string} [endpoint] Another address than Amazon's.
 * @property {typeof fetch} [fetch]
 * @property {() => number} [now] Unix milliseconds.
 */

/** Cognito's no. `code` is its name for it, such as `NotAuthorizedException`. */
export class CognitoError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   */
  constructor(code, message) {
    super(message);
    this.name = 'CognitoError';
    this.code = code;
  }
}

/** Somebody who is signed in, or will be. */
export class Cognito {
  #options;
  #endpoint;
  #fetch;
  #now;
  #idToken = '';
  #expiresAt = 0;
  /** @type {Promise<string> | undefined} */
  #renewal;
  /** @type {string | undefined} Keep it if the user is to stay signed in. */
  refreshToken;

  /** @param {CognitoOptions} options */
  constructor(options) {
    const { region, endpoint = `https://cognito-idp.${region}.amazonaws.com/` } = options;
    this.#options = options;
    this.#endpoint = endpoint;
    this.#fetch = options.fetch ?? ((...request) => fetch(...request));
    this.#now = options.now ?? Date.now;
    this.refreshToken = options.refreshToken;
  }

  /**
   * @param {string} username
   * @param {string} password
   */
  async signIn(username, password) {
    await this.#ask('USER_PASSWORD_AUTH', { USERNAME: username, PASSWORD: password });
  }

  /** Forgets the tokens. */
  signOut() {
    this.#idToken = '';
    this.#expiresAt = 0;
    this.refreshToken = undefined;
  }

  /**
   * The token provider for a speaker: the token there is, or a fresh one when it is nearly over.
   *
   * @returns {Promise<string>}
   */
  token = async () => {
    if (this.#now() < this.#expiresAt - EARLY) return this.#idToken;
    // Several connections at once need one renewal.
    this.#renewal ??= this.#renew().finally(() => (this.#renewal = undefined));
    return this.#renewal;
  };

  async #renew() {
    if (!this.refreshToken) throw new CognitoError('NotSignedIn', 'Nobody is signed in.');
    try {
      await this.#ask('REFRESH_TOKEN_AUTH', { REFRESH_TOKEN: this.refreshToken });
    } catch (error) {
      // While Cognito is away, a token that still holds is good enough.
      const isRefused = error instanceof CognitoError;
      if (isRefused || this.#now() >= this.#expiresAt) throw error;
    }
    return this.#idToken;
  }

  /**
   * @param {string} flow
   * @param {Record<string, string>} parameters
   */
  async #ask(flow, parameters) {
    const response = await this.#fetch(this.#endpoint, {
      method: 'POST',
      signal: AbortSignal.timeout(LIMIT),
      headers: {
        'Content-Type': 'application/x-amz-json-1.1',
        'X-Amz-Target': 'AWSCognitoIdentityProviderService.InitiateAuth',
      },
      body: JSON.stringify({
        AuthFlow: flow,
        ClientId: this.#options.clientId,
        AuthParameters: parameters,
      }),
    });
    const answer = await response.json().catch((/** @type {unknown} */ error) => {
      // What is no JSON tells nothing, but what did not come is no answer.
      if (error instanceof SyntaxError) return {};
      throw error;
    });
    if (!response.ok) {
      const code = String(answer.__type ?? `HTTP ${response.status}`).replace(/^.*#/, '');
      if (response.status >= 500) throw new Error(`Cognito has a fault: ${code}`);
      throw new CognitoError(code, answer.message ?? 'Cognito refused.');
    }
    const { AuthenticationResult: result, ChallengeName: challenge } = answer;
    if (!result) {
      throw new CognitoError(challenge ?? 'NoToken', `Cognito asks for more: ${challenge}`);
    }
    this.#idToken = result.IdToken;
    this.#expiresAt = this.#now() + result.ExpiresIn * 1_000;
    // A renewal brings no new refresh token, unless the pool rotates them.
    this.refreshToken = result.RefreshToken ?? this.refreshToken;
  }
}
