import { WebSocketLambdaAuthorizer } from 'aws-cdk-lib/aws-apigatewayv2-authorizers';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';

/**
 * Asks the authorizer function about every connect.
 *
 * It has no identity source. With one, API Gateway would answer 401 by itself to whoever shows no
 * token, and so to every listener.
 */
export function tokenAuthorizer(authorizer: IFunction): WebSocketLambdaAuthorizer {
  return new WebSocketLambdaAuthorizer('Authorizer', authorizer, { identitySource: [] });
}
