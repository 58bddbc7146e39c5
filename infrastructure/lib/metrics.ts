import { Duration } from 'aws-cdk-lib';
import { Metric, Stats } from 'aws-cdk-lib/aws-cloudwatch';

const NAMESPACE = 'SessionManagement';

/** What the functions measure, by the names in the wire contract. None of these has a dimension. */
export type Measured =
  | 'SessionCreationLatency'
  | 'ListenerJoinLatency'
  | 'HeartbeatLatency'
  | 'ActiveSessions'
  | 'TotalListeners'
  | 'ConnectionErrors'
  | 'RateLimitExceeded';

export function measured(metricName: Measured, statistic: string, period: Duration): Metric {
  return new Metric({ namespace: NAMESPACE, metricName, statistic, period });
}

export const P50 = Stats.p(50);
export const P95 = Stats.p(95);
export const P99 = Stats.p(99);
