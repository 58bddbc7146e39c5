import { Duration, Stack } from 'aws-cdk-lib';
import {
  Alarm,
  type AlarmProps,
  ComparisonOperator,
  Metric,
  Stats,
  TreatMissingData,
} from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import type { Table } from 'aws-cdk-lib/aws-dynamodb';
import { Effect, PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import type { Function } from 'aws-cdk-lib/aws-lambda';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { EmailSubscription } from 'aws-cdk-lib/aws-sns-subscriptions';
import { Construct } from 'constructs';

import type { Config } from './config.ts';
import { HANDLERS, type Handler } from './handlers.ts';
import { measured, P95 } from './metrics.ts';
import { MEMBERS_INDEX, type Tables } from './tables.ts';

const MINUTE = Duration.minutes(1);
const FIVE_MINUTES = Duration.minutes(5);

export interface AlarmsProps {
  readonly config: Config;
  readonly tables: Tables;
  readonly functions: Readonly<Record<Handler, Function>>;
}

/** What somebody should be woken for, and the topic that wakes them. */
export class Alarms extends Construct {
  readonly topic: Topic;
  readonly all: readonly Alarm[];

  constructor(scope: Construct, id: string, props: AlarmsProps) {
    super(scope, id);
    this.topic = this.makeTopic(props.config.alarmEmail);
    this.all = [
      ...this.sessions(props.config),
      ...this.functions(props.functions),
      ...this.tables(props.tables),
    ];
    const action = new SnsAction(this.topic);
    for (const alarm of this.all) {
      alarm.addAlarmAction(action);
      alarm.addOkAction(action);
    }
  }

  private makeTopic(email: string): Topic {
    const topic = new Topic(this, 'Topic', { displayName: 'Ambo alarms', enforceSSL: true });
    const stack = Stack.of(this);
    // A topic with a policy of its own no longer hears CloudWatch unless that policy says so.
    topic.addToResourcePolicy(
      new PolicyStatement({
        effect: Effect.ALLOW,
        principals: [new ServicePrincipal('cloudwatch.amazonaws.com')],
        actions: ['sns:Publish'],
        resources: [topic.topicArn],
        conditions: { StringEquals: { 'aws:SourceAccount': stack.account } },
      }),
    );
    if (email !== '') {
      topic.addSubscription(new EmailSubscription(email));
    }
    return topic;
  }

  private sessions(config: Config): Alarm[] {
    return [
      this.alarm('SlowSessionCreation', {
        alarmDescription: 'Creating a session took over 2 s (p95) in two of five minutes',
        metric: measured('SessionCreationLatency', P95, MINUTE),
        threshold: 2_000,
        evaluationPeriods: 5,
        datapointsToAlarm: 2,
      }),
      this.alarm('ConnectionErrors', {
        alarmDescription: 'Over 100 errors were told to clients in five minutes',
        metric: measured('ConnectionErrors', Stats.SUM, FIVE_MINUTES),
        threshold: 100,
      }),
      this.alarm('ManySessions', {
        alarmDescription: 'Over 90 % of maxActiveSessions are active',
        metric: measured('ActiveSessions', Stats.MAXIMUM, FIVE_MINUTES),
        threshold: 0.9 * config.maxActiveSessions,
      }),
      this.alarm('MissingSweep', {
        alarmDescription: 'No sweep has come to its end for five minutes',
        metric: measured('ActiveSessions', Stats.SAMPLE_COUNT, MINUTE),
        threshold: 1,
        evaluationPeriods: 5,
        comparisonOperator: ComparisonOperator.LESS_THAN_THRESHOLD,
        treatMissingData: TreatMissingData.BREACHING,
      }),
    ];
  }

  private functions(functions: AlarmsProps['functions']): Alarm[] {
    return HANDLERS.flatMap((handler) => [
      this.alarm(`${handler}Errors`, {
        alarmDescription: `The ${handler} function failed over 10 times in five minutes`,
        metric: functions[handler].metricErrors({ period: FIVE_MINUTES }),
        threshold: 10,
      }),
      this.alarm(`${handler}Throttles`, {
        alarmDescription: `The ${handler} function was throttled: see the account's concurrency`,
        metric: functions[handler].metricThrottles({ period: FIVE_MINUTES }),
        threshold: 0,
      }),
    ]);
  }

  private tables(tables: Tables): Alarm[] {
    const named: [string, Table, string?][] = [
      ['Sessions', tables.sessions],
      ['Connections', tables.connections],
      ['Members', tables.connections, MEMBERS_INDEX],
      ['RateLimits', tables.rateLimits],
    ];
    return named.flatMap(([name, table, index]) =>
      (['Read', 'Write'] as const).map((way) =>
        this.alarm(`${name}${way}Throttles`, {
          alarmDescription: `DynamoDB throttled ${way.toLowerCase()}s of ${name}: see docs/aws/LIMITS.md`,
          metric: new Metric({
            namespace: 'AWS/DynamoDB',
            metricName: `${way}ThrottleEvents`,
            dimensionsMap: {
              TableName: table.tableName,
              ...(index !== undefined && { GlobalSecondaryIndexName: index }),
            },
            statistic: Stats.SUM,
            period: FIVE_MINUTES,
          }),
          threshold: 0,
        }),
      ),
    );
  }

  private alarm(id: string, props: Omit<AlarmProps, 'evaluationPeriods'> & Partial<AlarmProps>) {
    return new Alarm(this, id, {
      evaluationPeriods: 1,
      comparisonOperator: ComparisonOperator.GREATER_THAN_THRESHOLD,
      // Where nothing happens, nothing is wrong.
      treatMissingData: TreatMissingData.NOT_BREACHING,
      ...props,
    });
  }
}
