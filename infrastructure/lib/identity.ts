import { Duration, type RemovalPolicy, Stack } from 'aws-cdk-lib';
import { AccountRecovery, Mfa, UserPool } from 'aws-cdk-lib/aws-cognito';
import { Construct } from 'constructs';

import type { Config } from './config.ts';
import { acknowledge } from './nag.ts';

/** Who may speak: an existing user pool, or one that is made here. */
export class Identity extends Construct {
  readonly userPoolId: string;
  readonly clientId: string;

  constructor(
    scope: Construct,
    id: string,
    props: { readonly config: Config; readonly removalPolicy: RemovalPolicy },
  ) {
    super(scope, id);
    const { config } = props;
    if (config.cognitoUserPoolId !== '') {
      this.userPoolId = config.cognitoUserPoolId;
      this.clientId = config.cognitoClientId;
      return;
    }
    const pool = new UserPool(this, 'UserPool', {
      signInAliases: { email: true },
      selfSignUpEnabled: config.cognitoSelfSignUp ?? false,
      autoVerify: { email: true },
      accountRecovery: AccountRecovery.EMAIL_ONLY,
      mfa: Mfa.OPTIONAL,
      mfaSecondFactor: { otp: true, sms: false },
      passwordPolicy: {
        minLength: 12,
        requireLowercase: true,
        requireUppercase: true,
        requireDigits: true,
        requireSymbols: true,
        tempPasswordValidity: Duration.days(3),
      },
      removalPolicy: props.removalPolicy,
    });
    acknowledge(pool, {
      'AwsSolutions-COG2':
        'A second factor is offered, not forced: a speaker at a lectern may have no phone at hand, ' +
        'and the account opens nothing but broadcasts.',
      'AwsSolutions-COG8':
        'The Plus plan is charged by user; passwords of twelve characters and lock-outs suffice here.',
    });
    const client = pool.addClient('Client', {
      authFlows: { userPassword: true, userSrp: true },
      // Browsers and phones are the clients: they could not keep a secret.
      generateSecret: false,
      disableOAuth: true,
      preventUserExistenceErrors: true,
      idTokenValidity: Duration.hours(1),
      accessTokenValidity: Duration.hours(1),
      refreshTokenValidity: Duration.days(30),
    });
    this.userPoolId = pool.userPoolId;
    this.clientId = client.userPoolClientId;
  }

  /** The issuer, as it stands in the pool's tokens. */
  get issuer(): string {
    const stack = Stack.of(this);
    return `https://cognito-idp.${stack.region}.${stack.urlSuffix}/${this.userPoolId}`;
  }
}
