import { Duration } from 'aws-cdk-lib';
import { Rule, Schedule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction } from 'aws-cdk-lib/aws-events-targets';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';

/** Runs the sweep: what no event tells, such as a listener that fell silent, is found by it. */
export class Sweep extends Construct {
  constructor(scope: Construct, id: string, props: { readonly disconnect: IFunction }) {
    super(scope, id);
    new Rule(this, 'EveryMinute', {
      description: 'Ambo: lapses silent members, ends sessions whose time is over',
      schedule: Schedule.rate(Duration.minutes(1)),
      // The next one comes in a minute anyway.
      targets: [
        new LambdaFunction(props.disconnect, {
          retryAttempts: 0,
          maxEventAge: Duration.minutes(1),
        }),
      ],
    });
  }
}
