import { ArnFormat, Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import { Effect, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Architecture, Code, Function, Runtime } from 'aws-cdk-lib/aws-lambda';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';

import type { Config, Environment } from './config.ts';
import { environment, type Surroundings, type Values, type Variable } from './environment.ts';
import { HANDLERS, SPECS, type Handler, type Rights } from './handlers.ts';
import { acknowledge } from './nag.ts';
import { retention } from './retention.ts';
import { MEMBERS_INDEX, type Tables } from './tables.ts';
import { STAGE_NAME } from './websocket.ts';

export interface FunctionsProps {
  readonly environment: Environment;
  readonly config: Config;
  readonly tables: Tables;
  readonly apiId: string;
  readonly surroundings: Surroundings;
  /** The folder with `bootstrap` in it: one asset for all. */
  readonly bootstrapFolder: string;
}

/** The five functions. They run the same binary and differ by HANDLER, size and rights. */
export class Functions extends Construct {
  readonly of: Readonly<Record<Handler, Function>>;

  constructor(scope: Construct, id: string, props: FunctionsProps) {
    super(scope, id);
    const code = Code.fromAsset(props.bootstrapFolder);
    this.of = Object.fromEntries(
      HANDLERS.map((handler) => [handler, this.add(handler, code, props)]),
    ) as Record<Handler, Function>;
  }

  private add(handler: Handler, code: Code, props: FunctionsProps): Function {
    const spec = SPECS[handler];
    const name = `ambo-${props.environment}-${handler}`;
    const scope = new Construct(this, handler);
    const logGroup = new LogGroup(scope, 'Logs', {
      logGroupName: `/aws/lambda/${name}`,
      retention: retention(props.config.dataRetentionHours),
      removalPolicy: RemovalPolicy.DESTROY,
    });
    // Its own role, without the managed policy that may write to every log group there is.
    const role = new Role(scope, 'Role', {
      assumedBy: new ServicePrincipal('lambda.amazonaws.com'),
      description: `What Ambo's ${handler} function may do`,
    });
    logGroup.grantWrite(role);
    for (const statement of statements(Stack.of(this), name, spec.rights, props)) {
      role.addToPolicy(statement);
    }
    acknowledge(role, wildcards(Stack.of(this), spec.rights, props));

    const values = environment(handler, props.config, props.surroundings);
    return new Function(scope, 'Function', {
      functionName: name,
      description: `Ambo: ${handler}`,
      runtime: Runtime.PROVIDED_AL2023,
      architecture: Architecture.ARM_64,
      handler: 'bootstrap',
      code,
      memorySize: spec.memoryMegabytes,
      timeout: Duration.seconds(spec.timeoutSeconds),
      environment: chosen(spec.variables, values),
      role,
      logGroup,
      // A first message or a sweep that comes minutes late helps nobody; the next sweep is due.
      retryAttempts: 0,
      maxEventAge: Duration.minutes(1),
    });
  }
}

/** The values of these variables; what is not configured is not set. */
function chosen(variables: readonly Variable[], values: Values): Record<string, string> {
  const pairs = variables.map((name) => [name, values[name]] as const);
  return Object.fromEntries(
    pairs.filter((pair): pair is [Variable, string] => pair[1] !== undefined),
  );
}

function statements(
  stack: Stack,
  name: string,
  rights: Rights,
  props: FunctionsProps,
): PolicyStatement[] {
  const { sessions, connections, rateLimits } = props.tables;
  const wanted: [readonly string[], string[]][] = [
    [rights.sessions, [sessions.tableArn]],
    [rights.connections, [connections.tableArn]],
    [rights.members, [`${connections.tableArn}/index/${MEMBERS_INDEX}`]],
    [rights.rateLimits, [rateLimits.tableArn]],
  ];
  if (rights.post.length > 0) {
    const resources = rights.post.map((method) => connectionsArn(stack, props.apiId, method));
    wanted.push([['execute-api:ManageConnections'], resources]);
  }
  if (rights.languages === 'asks') {
    wanted.push([['translate:ListLanguages', 'polly:DescribeVoices'], ['*']]);
  }
  if (rights.invokes === 'itself') {
    // The name is written out: a reference to the function would wait for this very policy.
    const itself = stack.formatArn({
      service: 'lambda',
      resource: 'function',
      resourceName: name,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
    wanted.push([['lambda:InvokeFunction'], [itself]]);
  }
  return wanted
    .filter(([actions]) => actions.length > 0)
    .map(
      ([actions, resources]) =>
        new PolicyStatement({ effect: Effect.ALLOW, actions: [...actions], resources }),
    );
}

function connectionsArn(stack: Stack, apiId: string, method: string): string {
  return stack.formatArn({
    service: 'execute-api',
    resource: apiId,
    resourceName: `${STAGE_NAME}/${method}/@connections/*`,
  });
}

/** Why there are wildcards in a role, for cdk-nag, which asks about each. */
function wildcards(stack: Stack, rights: Rights, props: FunctionsProps): Record<string, string> {
  const { account, region } = props.config;
  const api = (stack.resolve(props.apiId) as { Ref: string }).Ref;
  const reasons: Record<string, string> = {};
  for (const method of rights.post) {
    const resource = `arn:<AWS::Partition>:execute-api:${region}:${account}:<${api}>/${STAGE_NAME}/${method}/@connections/*`;
    reasons[`AwsSolutions-IAM5[Resource::${resource}]`] =
      'Connections come and go: any one of this API and stage, and of no other.';
  }
  if (rights.languages === 'asks') {
    reasons['AwsSolutions-IAM5[Resource::*]'] =
      'ListLanguages and DescribeVoices read a public list and know no resources.';
  }
  return reasons;
}
