import type { Template } from 'aws-cdk-lib/assertions';
import { beforeAll, describe, expect, test } from 'vitest';

import { HANDLERS, type Handler } from '../lib/handlers.ts';
import { resources, synthesize, text } from './synthesized.ts';

/** What a function may do: `action resource`, with the names of constructs for references. */
type Granted = Record<Handler, string[]>;

let granted: Granted;
let template: Template;
beforeAll(() => {
  template = synthesize('prod');
  granted = Object.fromEntries(HANDLERS.map((handler) => [handler, rights(handler)])) as Granted;
});

function rights(handler: Handler): string[] {
  const policies = Object.entries(resources(template, 'AWS::IAM::Policy'));
  const own = policies.filter(([id]) => id.startsWith(`Functions${handler}Role`));
  return own
    .flatMap(([, policy]) => policy.Properties.PolicyDocument.Statement)
    .flatMap((statement) => {
      expect(statement.Effect).toBe('Allow');
      const actions = [statement.Action].flat() as string[];
      const where = [statement.Resource].flat().map(text);
      return actions.flatMap((action) => where.map((resource) => `${action} ${plain(resource)}`));
    })
    .sort();
}

/** Without the hashes of the CDK. */
function plain(resource: string): string {
  return resource
    .replace('arn:{AWS::Partition}:', '')
    .replace('us-east-1:000000000000:', '')
    .replace(/\{(\w+?)[0-9A-F]{8}(\.Arn)?\}/g, '$1');
}

/** The tables and indexes that a function's rights name. */
function places(handler: Handler): string[] {
  const dynamo = granted[handler].filter((right) => right.startsWith('dynamodb:'));
  return [...new Set(dynamo.map((right) => right.split(' ')[1] ?? ''))].sort();
}

const MEMBERS = 'TablesConnections/index/sessionId-targetLanguage-index';

describe('rights', () => {
  test('name their actions one by one', () => {
    for (const right of Object.values(granted).flat()) {
      expect(right.split(' ')[0]).not.toContain('*');
    }
  });

  test('come from no policy of AWS', () => {
    for (const [id, role] of Object.entries(resources(template, 'AWS::IAM::Role'))) {
      if (id.startsWith('Functions')) {
        expect(role.Properties.ManagedPolicyArns).toBeUndefined();
      }
    }
  });

  test.each([
    ['authorizer', []],
    ['connection', ['TablesConnections', MEMBERS, 'TablesRateLimits', 'TablesSessions']],
    ['heartbeat', ['TablesConnections', 'TablesRateLimits', 'TablesSessions']],
    ['disconnect', ['TablesConnections', MEMBERS, 'TablesSessions']],
    ['refresh', ['TablesConnections', MEMBERS, 'TablesRateLimits', 'TablesSessions']],
  ] as const)('of %s end at its tables', (handler, tables) => {
    expect(places(handler)).toEqual(tables);
  });

  test.each(HANDLERS)('of %s to log end at its own log group', (handler) => {
    const logging = granted[handler].filter((right) => right.startsWith('logs:'));
    expect(logging).toEqual([
      `logs:CreateLogStream Functions${handler}Logs`,
      `logs:PutLogEvents Functions${handler}Logs`,
    ]);
  });

  test('to everything are for two lists that know no resources', () => {
    const everywhere = Object.values(granted)
      .flat()
      .filter((right) => right.endsWith(' *'));
    expect(new Set(everywhere)).toEqual(
      new Set(['polly:DescribeVoices *', 'translate:ListLanguages *']),
    );
  });

  test('to invoke are of the connection function, on itself', () => {
    const invoking = HANDLERS.flatMap((handler) =>
      granted[handler].filter((right) => right.startsWith('lambda:')),
    );
    expect(invoking).toEqual(['lambda:InvokeFunction lambda:function:ambo-prod-connection']);
  });

  test('to post end at this API and stage', () => {
    for (const handler of HANDLERS) {
      const posting = granted[handler].filter((right) => right.startsWith('execute-api:'));
      for (const right of posting) {
        expect(right).toMatch(
          /^execute-api:ManageConnections execute-api:SocketApi\/prod\/(POST|DELETE)\/@connections\/\*$/,
        );
      }
      expect(posting.length > 0).toBe(handler !== 'authorizer');
    }
  });

  test('to read whole tables are of the sweep alone', () => {
    for (const handler of HANDLERS) {
      const scanning = granted[handler].some((right) => right.startsWith('dynamodb:Scan'));
      expect(scanning).toBe(handler === 'disconnect');
    }
  });

  test('to invoke a function from outside name one route each', () => {
    const sources = Object.values(resources(template, 'AWS::Lambda::Permission')).map((each) =>
      plain(text(each.Properties.SourceArn)),
    );
    expect(sources.every((source) => !source.endsWith('/*'))).toBe(true);
    expect(sources.filter((source) => source.startsWith('SweepEveryMinute'))).toHaveLength(1);
  });
});
