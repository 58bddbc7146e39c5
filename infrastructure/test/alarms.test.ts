import type { Template } from 'aws-cdk-lib/assertions';
import { beforeAll, describe, expect, test } from 'vitest';

import { HANDLERS } from '../lib/handlers.ts';
import { resources, synthesize } from './synthesized.ts';

let template: Template;
beforeAll(() => {
  template = synthesize('prod', { maxActiveSessions: 200, alarmEmail: 'ops@example.org' });
});

describe('an alarm rises', () => {
  test.each([
    [
      'when creating a session is slow twice in five minutes',
      {
        Namespace: 'SessionManagement',
        MetricName: 'SessionCreationLatency',
        ExtendedStatistic: 'p95',
        Threshold: 2000,
        Period: 60,
        EvaluationPeriods: 5,
        DatapointsToAlarm: 2,
        ComparisonOperator: 'GreaterThanThreshold',
      },
    ],
    [
      'at over 100 errors in five minutes',
      {
        Namespace: 'SessionManagement',
        MetricName: 'ConnectionErrors',
        Statistic: 'Sum',
        Threshold: 100,
        Period: 300,
        EvaluationPeriods: 1,
        ComparisonOperator: 'GreaterThanThreshold',
      },
    ],
    [
      'at over 90 % of the sessions expected',
      {
        Namespace: 'SessionManagement',
        MetricName: 'ActiveSessions',
        Statistic: 'Maximum',
        Threshold: 180,
        ComparisonOperator: 'GreaterThanThreshold',
      },
    ],
    [
      'when no sweep ends, which is when there is nothing to see',
      {
        Namespace: 'SessionManagement',
        MetricName: 'ActiveSessions',
        Statistic: 'SampleCount',
        Threshold: 1,
        Period: 60,
        EvaluationPeriods: 5,
        ComparisonOperator: 'LessThanThreshold',
        TreatMissingData: 'breaching',
      },
    ],
  ])('%s', (_, properties) => {
    template.hasResourceProperties('AWS::CloudWatch::Alarm', properties);
  });

  test('when any function fails over 10 times in five minutes, or is throttled', () => {
    template.resourcePropertiesCountIs(
      'AWS::CloudWatch::Alarm',
      { Namespace: 'AWS/Lambda', MetricName: 'Errors', Threshold: 10, Period: 300 },
      HANDLERS.length,
    );
    template.resourcePropertiesCountIs(
      'AWS::CloudWatch::Alarm',
      { Namespace: 'AWS/Lambda', MetricName: 'Throttles', Threshold: 0, Period: 300 },
      HANDLERS.length,
    );
  });

  test('when a table or the index is throttled', () => {
    for (const MetricName of ['ReadThrottleEvents', 'WriteThrottleEvents']) {
      template.resourcePropertiesCountIs(
        'AWS::CloudWatch::Alarm',
        { Namespace: 'AWS/DynamoDB', MetricName, Threshold: 0 },
        4,
      );
    }
  });
});

describe('every alarm', () => {
  test('goes to the topic, and so does its end', () => {
    const topic = [{ Ref: Object.keys(resources(template, 'AWS::SNS::Topic'))[0] }];
    template.allResourcesProperties('AWS::CloudWatch::Alarm', {
      AlarmActions: topic,
      OKActions: topic,
    });
  });

  test('of our own metrics names no dimension, as those are emitted without', () => {
    const own = Object.values(resources(template, 'AWS::CloudWatch::Alarm')).filter(
      ({ Properties }) => Properties.Namespace === 'SessionManagement',
    );
    expect(own).toHaveLength(4);
    for (const { Properties } of own) {
      expect(Properties.Dimensions).toBeUndefined();
    }
  });
});

describe('the topic', () => {
  test('lets CloudWatch of this account publish', () => {
    const [policy] = Object.values(resources(template, 'AWS::SNS::TopicPolicy'));
    expect(policy?.Properties.PolicyDocument.Statement).toContainEqual(
      expect.objectContaining({
        Effect: 'Allow',
        Action: 'sns:Publish',
        Principal: { Service: 'cloudwatch.amazonaws.com' },
        Condition: { StringEquals: { 'aws:SourceAccount': '000000000000' } },
      }),
    );
  });

  test('mails to the address, if there is one', () => {
    template.hasResourceProperties('AWS::SNS::Subscription', {
      Protocol: 'email',
      Endpoint: 'ops@example.org',
    });
    synthesize('dev').resourceCountIs('AWS::SNS::Subscription', 0);
  });
});

test('the sweep runs every minute', () => {
  template.hasResourceProperties('AWS::Events::Rule', {
    ScheduleExpression: 'rate(1 minute)',
    State: 'ENABLED',
  });
});

test('the dashboard shows the people first', () => {
  const [dashboard] = Object.values(resources(template, 'AWS::CloudWatch::Dashboard'));
  const body = JSON.stringify(dashboard?.Properties.DashboardBody);
  const shown = ['TotalListeners', 'SessionCreationLatency', 'ConnectCount', 'ConsumedWrite'];
  const places = shown.map((metric) => body.indexOf(metric));
  expect(Math.min(...places)).toBeGreaterThan(0);
  expect(places).toEqual([...places].sort((a, b) => a - b));
});
