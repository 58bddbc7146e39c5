import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import {
  checkConfig,
  ConfigError,
  ENVIRONMENTS,
  parseEnvironment,
  readConfig,
  undeployable,
} from '../lib/config.ts';
import { PLAIN } from './plain.ts';

function mistakes(value: unknown): readonly string[] {
  try {
    checkConfig('config/dev.json', value);
  } catch (error) {
    return (error as ConfigError).mistakes;
  }
  return [];
}

test.each(ENVIRONMENTS)('the file of %s is right', (environment) => {
  expect(() => readConfig(environment)).not.toThrow();
});

describe('a configuration', () => {
  test('can be deployed once the account and, for prod, the address are given', () => {
    expect(undeployable('dev', PLAIN)).toEqual([
      expect.stringMatching(/^config\/dev\.json: account: is still the example: give the number/),
    ]);
    const account = '123456789012';
    expect(undeployable('dev', { ...PLAIN, account })).toEqual([]);
    expect(undeployable('prod', { ...PLAIN, account })).toEqual([
      'config/prod.json: alarmEmail: nobody would hear of an alarm: give an address',
    ]);
  });
});

describe('a mistake names the file, the key, and what to do', () => {
  const cases: [string, Record<string, unknown>, string][] = [
    ['a short account', { account: '123' }, 'account: must match .*: give the number of your AWS'],
    ['an account as a number', { account: 123456789012 }, 'account: must be string: give the numb'],
    ['no region', { region: 'Frankfurt' }, 'region: must match .*: give an AWS region such as'],
    ['a misspelt key', { maxListener: 5 }, 'maxListener: is no key: remove it, or see config/sch'],
    ['a missing key', { alarmEmail: undefined }, 'alarmEmail: is missing: give the address that'],
    [
      'an hour and a half',
      { sessionMaxDurationHours: 1.5 },
      'sessionMaxDurationHours: must be integer',
    ],
    ['no session at all', { maxActiveSessions: 0 }, 'maxActiveSessions: must be >= 1: give the n'],
    [
      'more joins than a function can count',
      { rateLimitListenerJoinsPerMin: 4294967296 },
      'rateLimitListenerJoinsPerMin: must be <= 4294967295: give how many joins',
    ],
    ['a late refresh', { connectionRefreshMinutes: 120 }, 'connectionRefreshMinutes: must be <= '],
    ['a refresh after the warning', { connectionRefreshMinutes: 110 }, 'connectionRefreshMinutes'],
    ['half a pool', { cognitoClientId: 'abc' }, 'cognitoUserPoolId, cognitoClientId: give both'],
    ['half a domain', { domainName: 'a.example.org' }, 'domainName, certificateArn: give both'],
    ['an open address', { mediaUrl: 'ws://example.org' }, 'mediaUrl: must match .*: give the wss'],
    [
      'a certificate from elsewhere',
      {
        domainName: 'a.example.org',
        certificateArn: 'arn:aws:acm:eu-west-1:123456789012:certificate/x',
      },
      'certificateArn: is of another region: it must be in us-east-1',
    ],
    [
      'a pool from elsewhere',
      {
        cognitoUserPoolId: 'eu-west-1_abc',
        cognitoClientId: 'abc',
        cognitoSelfSignUp: undefined,
      },
      'cognitoUserPoolId: is of another region: it must be in us-east-1',
    ],
    [
      'a switch for a pool of one’s own',
      { cognitoUserPoolId: 'us-east-1_abc', cognitoClientId: 'abc' },
      'cognitoSelfSignUp: is set in your own pool: remove the key',
    ],
  ];
  test.each(cases)('%s', (_, replaced, expected) => {
    const value = JSON.parse(JSON.stringify({ ...PLAIN, ...replaced })) as unknown;
    expect(mistakes(value)).toEqual([
      expect.stringMatching(new RegExp(`^config/dev.json: ${expected}`)),
    ]);
  });

  test('all at once', () => {
    expect(mistakes({ ...PLAIN, account: '', region: '', maxActiveSessions: -1 })).toHaveLength(3);
  });

  test('nothing but an object will do', () => {
    expect(mistakes([])).toEqual([
      'config/dev.json: must hold one JSON object, as config/dev.json does',
    ]);
  });

  test('an unknown environment', () => {
    expect(() => parseEnvironment('production')).toThrow(
      '"production" is no environment: give one of dev, staging, prod',
    );
  });
});

describe('a file', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'ambo-config-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  test('that is missing', () => {
    expect(() => readConfig('staging', folder)).toThrow(/^config\/staging.json: is missing/);
  });

  test('that is not JSON', () => {
    writeFileSync(join(folder, 'staging.json'), '{"account": }');
    expect(() => readConfig('staging', folder)).toThrow(/^config\/staging.json: is not JSON: Unex/);
  });
});
