/** Sign-in against a Cognito that is a scripted HTTP server. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { after, before, describe, it, mock } from 'node:test';

import { builtinToken, claimsOf } from '../src/signin/builtin.js';
import { Cognito, CognitoError } from '../src/signin/cognito.js';
import { until } from './support/hostile.js';

const asked = [];
let answers = [];
let server;
let endpoint;
before(async () => {
  server = createServer(async (request, response) => {
    let body = '';
    for await (const piece of request) body += piece;
    asked.push({ headers: request.headers, ...JSON.parse(body) });
    const next = answers.shift();
    if (typeof next === 'function') return next(response);
    const [status, answer] = next;
    response.writeHead(status, { 'Content-Type': 'application/x-amz-json-1.1' });
    return response.end(JSON.stringify(answer));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  endpoint = `http://127.0.0.1:${server.address().port}/`;
});
after(() => {
  server.closeAllConnections();
  server.close();
});

const tokens = (id, refresh) => [
  200,
  {
    AuthenticationResult: { IdToken: id, AccessToken: 'a', ExpiresIn: 3600, RefreshToken: refresh },
  },
];
const cognito = (options) =>
  new Cognito({ region: 'eu-west-1', clientId: 'app', endpoint, ...options });

describe('Cognito', () => {
  it('signs in by password and renews by refresh token, once for all', async () => {
    let now = 0;
    const it = cognito({ now: () => now });
    answers = [tokens('id-1', 'refresh-1'), tokens('id-2')];
    asked.length = 0;
    await it.signIn('ann', 'secret');
    assert.equal(await it.token(), 'id-1');
    now = 54 * 60_000;
    assert.equal(await it.token(), 'id-1');
    now = 56 * 60_000;
    assert.deepEqual(await Promise.all([it.token(), it.token()]), ['id-2', 'id-2']);
    const [first, second, ...others] = asked;
    assert.equal(first.headers['x-amz-target'], 'AWSCognitoIdentityProviderService.InitiateAuth');
    assert.equal(first.headers['content-type'], 'application/x-amz-json-1.1');
    assert.deepEqual(
      [first.AuthFlow, first.ClientId, first.AuthParameters],
      ['USER_PASSWORD_AUTH', 'app', { USERNAME: 'ann', PASSWORD: 'secret' }],
    );
    assert.deepEqual(
      [second.AuthFlow, second.AuthParameters],
      ['REFRESH_TOKEN_AUTH', { REFRESH_TOKEN: 'refresh-1' }],
    );
    assert.equal(others.length, 0);
    it.signOut();
    await assert.rejects(it.token(), { code: 'NotSignedIn' });
  });

  it('goes on from an earlier sign-in', async () => {
    const it = cognito({ refreshToken: 'kept' });
    answers = [tokens('id-3')];
    assert.equal(await it.token(), 'id-3');
    assert.equal(it.refreshToken, 'kept');
  });

  it('says what Cognito says', async () => {
    const it = cognito();
    answers = [[400, { __type: 'com.amazon#NotAuthorizedException', message: 'Incorrect' }]];
    await assert.rejects(
      it.signIn('ann', 'x'),
      (error) => error instanceof CognitoError && error.code === 'NotAuthorizedException',
    );
    answers = [[200, { ChallengeName: 'SMS_MFA', Session: 's' }]];
    await assert.rejects(it.signIn('ann', 'x'), { code: 'SMS_MFA' });
  });

  it('makes do with a token that still holds while Cognito is away', async () => {
    let now = 0;
    const it = cognito({ now: () => now });
    answers = [
      tokens('id-4', 'r'),
      [500, {}],
      [500, {}],
      [400, { __type: 'NotAuthorizedException' }],
    ];
    await it.signIn('ann', 'secret');
    now = 58 * 60_000;
    assert.equal(await it.token(), 'id-4');
    now = 61 * 60_000;
    await assert.rejects(it.token(), /fault/);
    await assert.rejects(it.token(), CognitoError);
  });
});

describe('a Cognito that never answers', { timeout: 60_000 }, () => {
  for (const [how, answer] of [
    ['at all', () => {}],
    ['to the end', (response) => response.writeHead(200).write('{')],
  ]) {
    it(`${how} is given up, and asked again by the next`, async () => {
      // Its clock is the test's.
      const [limit, limits] = [new AbortController(), []];
      mock.method(AbortSignal, 'timeout', (ms) => {
        limits.push(ms);
        return limits.length === 1 ? limit.signal : new AbortController().signal;
      });
      answers = [answer, tokens('id-5')];
      asked.length = 0;
      let begun = 0;
      const it = cognito({
        refreshToken: 'kept',
        fetch: (...request) => fetch(...request).finally(() => (begun += 1)),
      });
      const token = it.token();
      await until(() => (how === 'at all' ? asked.length : begun) > 0);
      limit.abort(new DOMException('too late', 'TimeoutError'));
      await assert.rejects(token, { name: 'TimeoutError' });
      assert.equal(await it.token(), 'id-5');
      assert.deepEqual(limits, [8_000, 8_000]);
      mock.restoreAll();
    });
  }
});

describe('the built-in issuer', () => {
  const encode = (claims) => Buffer.from(JSON.stringify(claims)).toString('base64url');
  const token = `${encode({ alg: 'EdDSA' })}.${encode({ sub: 'Zoë', exp: 1_000 })}.signature`;

  it('gives a token that is good, and tells of one that is not', async () => {
    assert.deepEqual(claimsOf(token), { sub: 'Zoë', exp: 1_000 });
    assert.equal(await builtinToken(` ${token}\n`, () => 1_000_000)(), token);
    assert.equal(
      await builtinToken(
        async () => token,
        () => 1_029_000,
      )(),
      token,
    );
    await assert.rejects(builtinToken(token, () => 1_031_000)(), /expired/);
    await assert.rejects(builtinToken('nonsense')(), /no token/);
  });
});
