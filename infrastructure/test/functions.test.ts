import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import type { Template } from 'aws-cdk-lib/assertions';
import { beforeAll, describe, expect, test } from 'vitest';

import { HANDLERS, type Handler } from '../lib/handlers.ts';
import { resources, type Resource, synthesize, text } from './synthesized.ts';

/** What the bootstrap reads, as `bootstrap --describe-settings` prints it; a Rust test keeps it. */
const SETTINGS = JSON.parse(
  readFileSync(join(import.meta.dirname, 'settings.json'), 'utf8'),
) as Record<Handler, { name: string; required: boolean }[]>;

let template: Template;
beforeAll(() => {
  template = synthesize('staging', { mediaUrl: 'wss://media.example.org/ws' });
});

function functionOf(handler: Handler, of = template): Resource {
  const found = Object.values(resources(of, 'AWS::Lambda::Function'));
  const one = found.find((each) => each.Properties.FunctionName.endsWith(`-${handler}`));
  return one ?? expect.fail(`there is no ${handler} function`);
}

const variables = (handler: Handler, of = template): Record<string, unknown> =>
  functionOf(handler, of).Properties.Environment.Variables;

describe('the functions', () => {
  test('are five, of one asset', () => {
    const all = Object.values(resources(template, 'AWS::Lambda::Function'));
    expect(all).toHaveLength(HANDLERS.length);
    expect(new Set(all.map((each) => JSON.stringify(each.Properties.Code)))).toHaveLength(1);
  });

  test.each([
    ['authorizer', 128, 10],
    ['connection', 256, 30],
    ['heartbeat', 128, 10],
    ['disconnect', 256, 30],
    ['refresh', 256, 30],
  ] as const)('%s has %i MB and %i s', (handler, memory, timeout) => {
    expect(functionOf(handler).Properties).toMatchObject({
      FunctionName: `ambo-staging-${handler}`,
      Runtime: 'provided.al2023',
      Architectures: ['arm64'],
      Handler: 'bootstrap',
      MemorySize: memory,
      Timeout: timeout,
    });
  });

  test('are not tried again by Lambda when they fail', () => {
    template.resourceCountIs('AWS::Lambda::EventInvokeConfig', HANDLERS.length);
    template.allResourcesProperties('AWS::Lambda::EventInvokeConfig', {
      MaximumRetryAttempts: 0,
    });
  });
});

describe('the environment', () => {
  test.each(HANDLERS)('of %s is what its handler reads, no more and no less', (handler) => {
    const read = SETTINGS[handler].map((setting) => setting.name);
    expect(Object.keys(variables(handler)).sort()).toEqual(read.sort());
  });

  test('lacks only what is not configured', () => {
    const plain = synthesize('dev');
    for (const handler of HANDLERS) {
      const missing = SETTINGS[handler].filter(({ name }) => !(name in variables(handler, plain)));
      expect(missing.map(({ name }) => name)).toEqual(
        handler === 'connection' ? ['MEDIA_URL'] : [],
      );
      expect(missing.every(({ required }) => !required)).toBe(true);
    }
  });

  test('holds the values of the configuration', () => {
    const changed = synthesize('dev', {
      sessionMaxDurationHours: 3,
      connectionRefreshMinutes: 90,
      connectionWarningMinutes: 95,
      maxListenersPerSession: 7,
      rateLimitSessionsPerHour: 11,
      rateLimitListenerJoinsPerMin: 12,
      rateLimitConnectionAttemptsPerMin: 13,
      rateLimitHeartbeatsPerMin: 14,
    });
    expect(variables('connection', changed)).toMatchObject({
      HANDLER: 'connection',
      SESSION_MAX_DURATION: '3h',
      MAX_LISTENERS_PER_SESSION: '7',
      RATE_LIMIT_SESSIONS_PER_HOUR: '11',
      RATE_LIMIT_JOINS_PER_MIN: '12',
      RATE_LIMIT_CONNECTS_PER_MIN: '13',
    });
    expect(variables('heartbeat', changed)).toMatchObject({
      CONNECTION_REFRESH: '90m',
      CONNECTION_WARNING: '95m',
      RATE_LIMIT_HEARTBEATS_PER_MIN: '14',
    });
  });

  test('leads to the tables, the stage and the pool of the same stack', () => {
    const { SESSIONS_TABLE, CONNECTIONS_TABLE, RATE_LIMITS_TABLE, ...others } =
      variables('refresh');
    expect(text(SESSIONS_TABLE)).toMatch(/^{TablesSessions/);
    expect(text(CONNECTIONS_TABLE)).toMatch(/^{TablesConnections/);
    expect(text(RATE_LIMITS_TABLE)).toMatch(/^{TablesRateLimits/);
    expect(text(others.CONNECTIONS_ENDPOINT)).toMatch(
      /^https:\/\/{SocketApi\w+}\.execute-api\.us-east-1\.{AWS::URLSuffix}\/prod$/,
    );
    expect(text(others.OIDC_ISSUER)).toMatch(
      /^https:\/\/cognito-idp\.us-east-1\.{AWS::URLSuffix}\/{IdentityUserPool\w+}$/,
    );
    expect(text(others.OIDC_JWKS_URL)).toBe(`${text(others.OIDC_ISSUER)}/.well-known/jwks.json`);
    expect(text(others.OIDC_AUDIENCE)).toMatch(/^{IdentityUserPoolClient/);
  });

  test('names a pool that is there already', () => {
    const own = synthesize('prod', { cognitoUserPoolId: 'us-east-1_Abc', cognitoClientId: 'abc9' });
    own.resourceCountIs('AWS::Cognito::UserPool', 0);
    expect(text(variables('authorizer', own).OIDC_ISSUER)).toMatch(/\/us-east-1_Abc$/);
    expect(variables('authorizer', own).OIDC_AUDIENCE).toBe('abc9');
  });
});
