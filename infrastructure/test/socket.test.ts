import type { Template } from 'aws-cdk-lib/assertions';
import { beforeAll, describe, expect, test } from 'vitest';

import { resources, synthesize, text } from './synthesized.ts';

let template: Template;
beforeAll(() => {
  template = synthesize('prod');
});

/** The handler behind each route. */
function routes(): Record<string, string> {
  const integrations = resources(template, 'AWS::ApiGatewayV2::Integration');
  return Object.fromEntries(
    Object.values(resources(template, 'AWS::ApiGatewayV2::Route')).map(({ Properties }) => {
      const id = /\{(\w+)\}$/.exec(text(Properties.Target))?.[1] ?? '';
      const uri = text(integrations[id]?.Properties.IntegrationUri);
      return [Properties.RouteKey, /\{Functions([a-z]+)Function/.exec(uri)?.[1]];
    }),
  );
}

describe('the WebSocket API', () => {
  test('leads each route to its function', () => {
    expect(routes()).toEqual({
      $connect: 'connection',
      $default: 'connection',
      $disconnect: 'disconnect',
      heartbeat: 'heartbeat',
      refreshConnection: 'refresh',
      controlSession: 'connection',
      changeLanguage: 'connection',
      getSessionStatus: 'connection',
      endSession: 'connection',
      sendAudio: 'connection',
    });
  });

  test('has a function allowed for each of its routes', () => {
    const sources = Object.values(resources(template, 'AWS::Lambda::Permission')).map((each) =>
      text(each.Properties.SourceArn),
    );
    for (const route of Object.keys(routes())) {
      expect(sources.filter((source) => source.endsWith(`/*${route}`))).toHaveLength(1);
    }
  });

  test('asks the authorizer on $connect alone, and always', () => {
    template.hasResourceProperties('AWS::ApiGatewayV2::Authorizer', {
      AuthorizerType: 'REQUEST',
      IdentitySource: [],
    });
    for (const { Properties } of Object.values(resources(template, 'AWS::ApiGatewayV2::Route'))) {
      const expected = Properties.RouteKey === '$connect' ? 'CUSTOM' : 'NONE';
      expect(Properties.AuthorizationType).toBe(expected);
    }
  });

  test('routes by action', () => {
    template.hasResourceProperties('AWS::ApiGatewayV2::Api', {
      ProtocolType: 'WEBSOCKET',
      RouteSelectionExpression: '$request.body.action',
    });
  });
});

describe('the stage', () => {
  test('is prod, throttled, and waits for all routes and the right to log', () => {
    template.hasResourceProperties('AWS::ApiGatewayV2::Stage', {
      StageName: 'prod',
      AutoDeploy: true,
      DefaultRouteSettings: { ThrottlingBurstLimit: 5000, ThrottlingRateLimit: 10000 },
    });
    const [stage] = Object.values(resources(template, 'AWS::ApiGatewayV2::Stage'));
    const awaited = [
      ...Object.keys(resources(template, 'AWS::ApiGatewayV2::Route')),
      ...Object.keys(resources(template, 'AWS::ApiGateway::Account')),
    ];
    expect(stage?.DependsOn).toEqual(expect.arrayContaining(awaited));
  });

  test('logs no query string, address, user or connection', () => {
    const [stage] = Object.values(resources(template, 'AWS::ApiGatewayV2::Stage'));
    const format = stage?.Properties.AccessLogSettings.Format as string;
    expect(JSON.parse(format)).toMatchObject({ routeKey: '$context.routeKey' });
    // Nothing may be written of what is not in this list.
    const written = [...format.matchAll(/\$context\.([\w.]+)/g)].map((match) => match[1]);
    expect(written.sort()).toEqual([
      'authorizer.error',
      'error.message',
      'eventType',
      'integrationErrorMessage',
      'integrationLatency',
      'requestId',
      'requestTime',
      'routeKey',
      'status',
    ]);
  });

  test('can have a host name of its own', () => {
    const own = synthesize('prod', {
      domainName: 'live.example.org',
      certificateArn: 'arn:aws:acm:us-east-1:000000000000:certificate/1',
    });
    own.hasResourceProperties('AWS::ApiGatewayV2::DomainName', {
      DomainName: 'live.example.org',
      DomainNameConfigurations: [{ EndpointType: 'REGIONAL' }],
    });
    own.resourceCountIs('AWS::ApiGatewayV2::ApiMapping', 1);
    own.hasOutput('DomainTarget', {});
    const [endpoint] = Object.values(own.findOutputs('WebSocketAPIEndpoint'));
    expect(text(endpoint?.Value)).toMatch(/^wss:\/\//);
  });
});
