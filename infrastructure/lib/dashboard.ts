import { Duration } from 'aws-cdk-lib';
import {
  AlarmStatusWidget,
  Dashboard as CloudWatchDashboard,
  GraphWidget,
  type IMetric,
  Metric,
  Stats,
} from 'aws-cdk-lib/aws-cloudwatch';
import type { WebSocketApi } from 'aws-cdk-lib/aws-apigatewayv2';
import type { Function } from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';

import type { Alarms } from './alarms.ts';
import type { Environment } from './config.ts';
import { HANDLERS, type Handler } from './handlers.ts';
import { type Measured, measured, P50, P95, P99 } from './metrics.ts';
import type { Tables } from './tables.ts';
import { STAGE_NAME } from './websocket.ts';

const MINUTE = Duration.minutes(1);

export interface DashboardProps {
  readonly environment: Environment;
  readonly alarms: Alarms;
  readonly api: WebSocketApi;
  readonly functions: Readonly<Record<Handler, Function>>;
  readonly tables: Tables;
}

/** One page to look at during an event: people first, machines below. */
export class Dashboard extends Construct {
  constructor(scope: Construct, id: string, props: DashboardProps) {
    super(scope, id);
    const each = (pick: (fn: Function) => IMetric) =>
      HANDLERS.map((handler) => pick(props.functions[handler]));
    const tables = [props.tables.sessions, props.tables.connections, props.tables.rateLimits];

    new CloudWatchDashboard(this, 'Dashboard', {
      dashboardName: `ambo-${props.environment}`,
      widgets: [
        [new AlarmStatusWidget({ title: 'Alarms', width: 24, alarms: [...props.alarms.all] })],
        [
          graph('Sessions', [measured('ActiveSessions', Stats.MAXIMUM, MINUTE)]),
          graph('Listeners', [measured('TotalListeners', Stats.MAXIMUM, MINUTE)]),
          graph('Refused and failed', [
            measured('ConnectionErrors', Stats.SUM, MINUTE),
            measured('RateLimitExceeded', Stats.SUM, MINUTE),
          ]),
        ],
        [
          latency('Creating a session, ms', 'SessionCreationLatency'),
          latency('Joining, ms', 'ListenerJoinLatency'),
          latency('Heartbeat, ms', 'HeartbeatLatency'),
        ],
        [
          graph('Connects and messages', [
            gateway(props.api, 'ConnectCount', Stats.SUM),
            gateway(props.api, 'MessageCount', Stats.SUM),
          ]),
          graph('API Gateway errors', [
            gateway(props.api, 'ClientError', Stats.SUM),
            gateway(props.api, 'ExecutionError', Stats.SUM),
            gateway(props.api, 'IntegrationError', Stats.SUM),
          ]),
          graph('Integration latency p95, ms', [gateway(props.api, 'IntegrationLatency', P95)]),
        ],
        [
          graph(
            'Function errors',
            each((fn) => fn.metricErrors({ period: MINUTE })),
          ),
          graph(
            'Function throttles',
            each((fn) => fn.metricThrottles({ period: MINUTE })),
          ),
          graph(
            'Function duration p95, ms',
            each((fn) => fn.metricDuration({ period: MINUTE, statistic: P95 })),
          ),
        ],
        [
          graph(
            'Units written',
            tables.map((table) => table.metricConsumedWriteCapacityUnits()),
          ),
          graph(
            'Units read',
            tables.map((table) => table.metricConsumedReadCapacityUnits()),
          ),
        ],
      ],
    });
  }
}

function graph(title: string, left: IMetric[]): GraphWidget {
  return new GraphWidget({ title, left, width: 8, liveData: true });
}

function latency(title: string, metric: Measured): GraphWidget {
  return graph(
    title,
    [P50, P95, P99].map((statistic) => measured(metric, statistic, MINUTE)),
  );
}

function gateway(api: WebSocketApi, metricName: string, statistic: string): Metric {
  return new Metric({
    namespace: 'AWS/ApiGateway',
    metricName,
    dimensionsMap: { ApiId: api.apiId, Stage: STAGE_NAME },
    statistic,
    period: MINUTE,
  });
}
