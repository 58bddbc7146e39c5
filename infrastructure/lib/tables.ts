import { RemovalPolicy } from 'aws-cdk-lib';
import {
  AttributeType,
  BillingMode,
  ProjectionType,
  Table,
  TableEncryption,
  type TableProps,
} from 'aws-cdk-lib/aws-dynamodb';
import { Construct } from 'constructs';

/** The index by which the listeners of a session are found; its name is the store's. */
export const MEMBERS_INDEX = 'sessionId-targetLanguage-index';

/** All state there is: sessions, connections, and the buckets of the rate limits. */
export class Tables extends Construct {
  readonly sessions: Table;
  readonly connections: Table;
  readonly rateLimits: Table;

  constructor(scope: Construct, id: string, props: { readonly removalPolicy: RemovalPolicy }) {
    super(scope, id);
    const common = {
      billingMode: BillingMode.PAY_PER_REQUEST,
      encryption: TableEncryption.AWS_MANAGED,
      pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
      removalPolicy: props.removalPolicy,
    } satisfies Partial<TableProps>;

    this.sessions = new Table(this, 'Sessions', {
      ...common,
      partitionKey: { name: 'sessionId', type: AttributeType.STRING },
      timeToLiveAttribute: 'expiresAt',
    });
    this.connections = new Table(this, 'Connections', {
      ...common,
      partitionKey: { name: 'connectionId', type: AttributeType.STRING },
      timeToLiveAttribute: 'ttl',
    });
    this.connections.addGlobalSecondaryIndex({
      indexName: MEMBERS_INDEX,
      partitionKey: { name: 'sessionId', type: AttributeType.STRING },
      sortKey: { name: 'targetLanguage', type: AttributeType.STRING },
      projectionType: ProjectionType.ALL,
    });
    this.rateLimits = new Table(this, 'RateLimits', {
      ...common,
      partitionKey: { name: 'identifier', type: AttributeType.STRING },
      timeToLiveAttribute: 'expiresAt',
    });
  }
}
