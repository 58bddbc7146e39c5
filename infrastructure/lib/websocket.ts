import { RemovalPolicy, Stack } from 'aws-cdk-lib';
import { AccessLogFormat } from 'aws-cdk-lib/aws-apigateway';
import {
  DomainName,
  LogGroupLogDestination,
  WebSocketApi,
  WebSocketStage,
} from 'aws-cdk-lib/aws-apigatewayv2';
import { WebSocketLambdaIntegration } from 'aws-cdk-lib/aws-apigatewayv2-integrations';
import { Certificate } from 'aws-cdk-lib/aws-certificatemanager';
import type { Function } from 'aws-cdk-lib/aws-lambda';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';

import { tokenAuthorizer } from './authorizer.ts';
import type { Config, Environment } from './config.ts';
import { HANDLERS, SPECS, type Handler } from './handlers.ts';
import { acknowledge } from './nag.ts';
import { retention } from './retention.ts';

/** The name of the stage, and so the path of the endpoint; the same in all environments. */
export const STAGE_NAME = 'prod';

/** Messages in a second that the stage lets pass, all connections together. */
const THROTTLE = { rateLimit: 10_000, burstLimit: 5_000 };

/** Neither the query string, which holds tokens, nor an address or a connection id. */
const ACCESS_LOG = {
  requestTime: '$context.requestTime',
  requestId: '$context.requestId',
  eventType: '$context.eventType',
  routeKey: '$context.routeKey',
  status: '$context.status',
  integrationLatency: '$context.integrationLatency',
  authorizerError: '$context.authorizer.error',
  integrationError: '$context.integrationErrorMessage',
  error: '$context.error.message',
};

/** The API's name, before anything is behind it: the functions have to be told its id. */
export class SocketApi extends Construct {
  readonly api: WebSocketApi;

  constructor(scope: Construct, id: string, props: { readonly environment: Environment }) {
    super(scope, id);
    this.api = new WebSocketApi(this, 'Api', {
      apiName: `ambo-${props.environment}`,
      description: 'Ambo: speakers and listeners connect here',
      routeSelectionExpression: '$request.body.action',
    });
  }

  /** Where messages to connections are posted. */
  get connectionsEndpoint(): string {
    const stack = Stack.of(this);
    return `https://${this.api.apiId}.execute-api.${stack.region}.${stack.urlSuffix}/${STAGE_NAME}`;
  }
}

export interface SocketStageProps {
  readonly environment: Environment;
  readonly config: Config;
  readonly api: WebSocketApi;
  readonly functions: Readonly<Record<Handler, Function>>;
}

/** The routes, the stage they are served on, its access log, and a host name of one's own. */
export class SocketStage extends Construct {
  /** What clients connect to. */
  readonly endpoint: string;
  /** Where the DNS record of the host name has to point, if there is one. */
  readonly domainTarget?: string;

  constructor(scope: Construct, id: string, props: SocketStageProps) {
    super(scope, id);
    const domain = this.domain(props.config);
    const logs = new LogGroup(this, 'AccessLog', {
      logGroupName: `/aws/apigateway/ambo-${props.environment}`,
      retention: retention(props.config.dataRetentionHours),
      removalPolicy: RemovalPolicy.DESTROY,
    });
    const stage = new WebSocketStage(this, 'Stage', {
      webSocketApi: props.api,
      stageName: STAGE_NAME,
      autoDeploy: true,
      throttle: THROTTLE,
      accessLogSettings: {
        destination: new LogGroupLogDestination(logs),
        format: AccessLogFormat.custom(JSON.stringify(ACCESS_LOG)),
      },
      ...(domain && { domainMapping: { domainName: domain } }),
    });
    // A stage is first deployed when it is made: with all routes, or some would be missing.
    stage.node.addDependency(...this.routes(props));
    this.endpoint = domain ? `wss://${domain.name}` : stage.url;
    this.domainTarget = domain?.regionalDomainName;
  }

  private routes(props: SocketStageProps): Construct[] {
    const authorizer = tokenAuthorizer(props.functions.authorizer);
    return HANDLERS.flatMap((handler) =>
      SPECS[handler].routes.map((key) => {
        const integration = new WebSocketLambdaIntegration(
          `${handler}Integration`,
          props.functions[handler],
        );
        // Only a connect can be authorized; what follows on the socket carries its result.
        const route = props.api.addRoute(key, {
          integration,
          ...(key === '$connect' && { authorizer }),
        });
        if (key !== '$connect') {
          acknowledge(route, {
            'AwsSolutions-APIG4':
              'API Gateway authorizes a WebSocket when it is opened, and only then.',
          });
        }
        return route;
      }),
    );
  }

  private domain(config: Config): DomainName | undefined {
    if (config.domainName === undefined || config.certificateArn === undefined) {
      return undefined;
    }
    return new DomainName(this, 'Domain', {
      domainName: config.domainName,
      certificate: Certificate.fromCertificateArn(this, 'Certificate', config.certificateArn),
    });
  }
}
