import { CfnOutput, RemovalPolicy, Stack } from 'aws-cdk-lib';
import type { Construct } from 'constructs';

import { Alarms } from './alarms.ts';
import { ApiLogging } from './api-logging.ts';
import type { Config, Environment } from './config.ts';
import { Dashboard } from './dashboard.ts';
import { Functions } from './functions.ts';
import { HANDLERS } from './handlers.ts';
import { Identity } from './identity.ts';
import { Sweep } from './sweep.ts';
import { Tables } from './tables.ts';
import { SocketApi, SocketStage } from './websocket.ts';

export interface AmboStackProps {
  readonly environment: Environment;
  readonly config: Config;
  readonly bootstrapFolder: string;
}

/** One environment of Ambo: everything that it needs in one account and region. */
export class AmboStack extends Stack {
  constructor(scope: Construct, props: AmboStackProps) {
    const { environment, config } = props;
    super(scope, `Ambo-${environment}`, {
      description: `Ambo, the session server for live multilingual broadcasts (${environment})`,
      env: { account: config.account, region: config.region },
      terminationProtection: environment === 'prod',
      tags: { application: 'ambo', environment },
    });
    // What cannot be made again outlives the stack, unless it is only for trying.
    const removalPolicy = environment === 'dev' ? RemovalPolicy.DESTROY : RemovalPolicy.RETAIN;

    const tables = new Tables(this, 'Tables', { removalPolicy });
    const identity = new Identity(this, 'Identity', { config, removalPolicy });
    const { api, connectionsEndpoint } = new SocketApi(this, 'Socket', { environment });
    const functions = new Functions(this, 'Functions', {
      environment,
      config,
      tables,
      apiId: api.apiId,
      bootstrapFolder: props.bootstrapFolder,
      surroundings: {
        sessionsTable: tables.sessions.tableName,
        connectionsTable: tables.connections.tableName,
        rateLimitsTable: tables.rateLimits.tableName,
        connectionsEndpoint,
        issuer: identity.issuer,
        clientId: identity.clientId,
      },
    }).of;
    const stage = new SocketStage(this, 'Stage', { environment, config, api, functions });
    stage.node.addDependency(new ApiLogging(this, 'ApiLogging'));
    new Sweep(this, 'Sweep', { disconnect: functions.disconnect });
    const alarms = new Alarms(this, 'Alarms', { config, tables, functions });
    new Dashboard(this, 'Dashboard', { environment, alarms, api, functions, tables });

    this.output('WebSocketAPIEndpoint', stage.endpoint);
    this.output('SessionsTableName', tables.sessions.tableName);
    this.output('ConnectionsTableName', tables.connections.tableName);
    this.output('RateLimitsTableName', tables.rateLimits.tableName);
    this.output('UserPoolId', identity.userPoolId);
    this.output('UserPoolClientId', identity.clientId);
    this.output('AlarmTopicArn', alarms.topic.topicArn);
    for (const handler of HANDLERS) {
      const capital = handler.charAt(0).toUpperCase() + handler.slice(1);
      this.output(`${capital}FunctionName`, functions[handler].functionName);
    }
    if (stage.domainTarget !== undefined) {
      this.output('DomainTarget', stage.domainTarget);
    }
  }

  private output(name: string, value: string): void {
    new CfnOutput(this, name, { value });
  }
}
