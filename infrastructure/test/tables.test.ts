import { Match, type Template } from 'aws-cdk-lib/assertions';
import { beforeAll, describe, expect, test } from 'vitest';

import type { Environment } from '../lib/config.ts';
import { retention } from '../lib/retention.ts';
import { resources, synthesize } from './synthesized.ts';

let templates: Record<Environment, Template>;
beforeAll(() => {
  templates = {
    dev: synthesize('dev'),
    staging: synthesize('staging'),
    prod: synthesize('prod'),
  };
});

describe('the tables', () => {
  test.each([
    ['sessionId', 'expiresAt'],
    ['connectionId', 'ttl'],
    ['identifier', 'expiresAt'],
  ])('by %s lets rows go at %s', (key, ttl) => {
    templates.prod.hasResourceProperties('AWS::DynamoDB::Table', {
      KeySchema: [{ AttributeName: key, KeyType: 'HASH' }],
      TimeToLiveSpecification: { AttributeName: ttl, Enabled: true },
    });
  });

  test('are three, on demand, encrypted, and can be restored to any second', () => {
    templates.dev.resourceCountIs('AWS::DynamoDB::Table', 3);
    templates.dev.allResourcesProperties('AWS::DynamoDB::Table', {
      BillingMode: 'PAY_PER_REQUEST',
      SSESpecification: { SSEEnabled: true },
      PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true },
    });
  });

  test('find the members of a session by an index with everything in it', () => {
    templates.prod.hasResourceProperties('AWS::DynamoDB::Table', {
      GlobalSecondaryIndexes: [
        {
          IndexName: 'sessionId-targetLanguage-index',
          KeySchema: [
            { AttributeName: 'sessionId', KeyType: 'HASH' },
            { AttributeName: 'targetLanguage', KeyType: 'RANGE' },
          ],
          Projection: { ProjectionType: 'ALL' },
        },
      ],
    });
  });

  test.each([
    ['dev', 'Delete'],
    ['staging', 'Retain'],
    ['prod', 'Retain'],
  ] as const)('and the user pool of %s: %s with the stack', (environment, policy) => {
    const kept = ['AWS::DynamoDB::Table', 'AWS::Cognito::UserPool'].flatMap((type) =>
      Object.values(resources(templates[environment], type)),
    );
    expect(kept).toHaveLength(4);
    for (const resource of kept) {
      expect(resource.DeletionPolicy).toBe(policy);
    }
  });
});

describe('logs', () => {
  test.each([
    [1, 1],
    [24, 1],
    [25, 3],
    [168, 7],
    [720, 30],
    [87_600, 3653],
  ])('of %i hours are kept for %i days', (hours, days) => {
    expect(retention(hours)).toBe(days);
  });

  test('of all functions and of the stage go after that', () => {
    const template = synthesize('prod', { dataRetentionHours: 720 });
    template.resourceCountIs('AWS::Logs::LogGroup', 6);
    template.allResourcesProperties('AWS::Logs::LogGroup', { RetentionInDays: 30 });
  });
});

describe('the user pool', () => {
  test('takes new accounts from anybody where the configuration says so', () => {
    const isClosed = (cognitoSelfSignUp: boolean | undefined) => {
      const template = synthesize('prod', { cognitoSelfSignUp });
      const [pool] = Object.values(resources(template, 'AWS::Cognito::UserPool'));
      return pool?.Properties.AdminCreateUserConfig.AllowAdminCreateUserOnly;
    };
    expect([true, false, undefined].map(isClosed)).toEqual([false, true, true]);
  });

  test('signs in by password, without a secret that clients could not keep', () => {
    templates.prod.hasResourceProperties('AWS::Cognito::UserPoolClient', {
      ExplicitAuthFlows: Match.arrayWith(['ALLOW_USER_PASSWORD_AUTH']),
      GenerateSecret: false,
    });
  });
});

test('the outputs name what people and tools ask for', () => {
  const outputs = Object.keys(templates.dev.findOutputs('*')).sort();
  expect(outputs).toEqual([
    'AlarmTopicArn',
    'AuthorizerFunctionName',
    'ConnectionFunctionName',
    'ConnectionsTableName',
    'DisconnectFunctionName',
    'HeartbeatFunctionName',
    'RateLimitsTableName',
    'RefreshFunctionName',
    'SessionsTableName',
    'UserPoolClientId',
    'UserPoolId',
    'WebSocketAPIEndpoint',
  ]);
});
