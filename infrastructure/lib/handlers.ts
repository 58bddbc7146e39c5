/**
 * What each handler of the bootstrap is given, in one table: size, routes, variables and rights.
 * Whatever is not named here, a function does not have.
 */

import type { Variable } from './environment.ts';

/** The handlers; the bootstrap becomes one of them by its variable HANDLER. */
export const HANDLERS = ['authorizer', 'connection', 'heartbeat', 'disconnect', 'refresh'] as const;
export type Handler = (typeof HANDLERS)[number];

/** The routes on which clients send, besides those of API Gateway itself. */
export const CONTROL_ROUTES = [
  'controlSession',
  'changeLanguage',
  'getSessionStatus',
  'endSession',
  'sendAudio',
] as const;

export interface Spec {
  readonly memoryMegabytes: number;
  readonly timeoutSeconds: number;
  readonly routes: readonly string[];
  readonly variables: readonly Variable[];
  readonly rights: Rights;
}

/**
 * What a function may do: actions of DynamoDB by table, where a transaction needs those of its
 * parts. The end-to-end test runs the functions behind these rights.
 */
export interface Rights {
  readonly sessions: readonly string[];
  readonly connections: readonly string[];
  readonly members: readonly string[];
  readonly rateLimits: readonly string[];
  /** Methods of `@connections`. */
  readonly post: readonly ('POST' | 'DELETE')[];
  /** Asks which languages there are. */
  readonly languages: 'asks' | 'no';
  /** Invokes itself, to answer once the socket is open. */
  readonly invokes: 'itself' | 'nothing';
}

const EVERY = ['HANDLER', 'LOG'] as const;
const TOKENS = ['OIDC_ISSUER', 'OIDC_AUDIENCE', 'OIDC_JWKS_URL'] as const;
const STATE = [
  'SESSIONS_TABLE',
  'CONNECTIONS_TABLE',
  'RATE_LIMITS_TABLE',
  'CONNECTIONS_ENDPOINT',
] as const;
const ADMITTING = [
  'MAX_LISTENERS_PER_SESSION',
  'RATE_LIMIT_JOINS_PER_MIN',
  'RATE_LIMIT_REFUSED_JOINS_PER_MIN',
] as const;

/** Whoever answers an event looks first, at a session and some connections at once. */
const LOOK = 'dynamodb:BatchGetItem';
const BUCKETS = ['dynamodb:GetItem', 'dynamodb:UpdateItem'];

export const SPECS: Readonly<Record<Handler, Spec>> = {
  authorizer: {
    memoryMegabytes: 128,
    timeoutSeconds: 10,
    routes: [],
    variables: [...EVERY, ...TOKENS],
    rights: {
      sessions: [],
      connections: [],
      members: [],
      rateLimits: [],
      post: [],
      languages: 'no',
      invokes: 'nothing',
    },
  },
  connection: {
    memoryMegabytes: 256,
    timeoutSeconds: 30,
    routes: ['$connect', '$default', ...CONTROL_ROUTES],
    variables: [
      ...EVERY,
      ...STATE,
      ...ADMITTING,
      'MEDIA_URL',
      'SESSION_MAX_DURATION',
      'SPEAKER_GRACE',
      'RATE_LIMIT_SESSIONS_PER_HOUR',
      'RATE_LIMIT_CONNECTS_PER_MIN',
      'RATE_LIMIT_CONTROL_PER_SEC',
    ],
    rights: {
      sessions: [
        LOOK,
        'dynamodb:PutItem',
        'dynamodb:UpdateItem',
        'dynamodb:DeleteItem',
        'dynamodb:ConditionCheckItem',
      ],
      connections: [
        LOOK,
        'dynamodb:GetItem',
        'dynamodb:PutItem',
        'dynamodb:UpdateItem',
        'dynamodb:DeleteItem',
      ],
      members: ['dynamodb:Query'],
      rateLimits: BUCKETS,
      post: ['POST', 'DELETE'],
      languages: 'asks',
      invokes: 'itself',
    },
  },
  heartbeat: {
    memoryMegabytes: 128,
    timeoutSeconds: 10,
    routes: ['heartbeat'],
    variables: [
      ...EVERY,
      ...STATE,
      'SESSION_MAX_DURATION',
      'CONNECTION_REFRESH',
      'CONNECTION_WARNING',
      'CONNECTION_MAX_DURATION',
      'RATE_LIMIT_HEARTBEATS_PER_MIN',
      'RATE_LIMIT_CONTROL_PER_SEC',
    ],
    rights: {
      sessions: [LOOK, 'dynamodb:UpdateItem'],
      connections: [LOOK, 'dynamodb:UpdateItem'],
      members: [],
      rateLimits: ['dynamodb:UpdateItem'],
      post: ['POST'],
      languages: 'no',
      invokes: 'nothing',
    },
  },
  disconnect: {
    memoryMegabytes: 256,
    timeoutSeconds: 30,
    routes: ['$disconnect'],
    variables: [
      ...EVERY,
      ...STATE,
      'SPEAKER_GRACE',
      'CONNECTION_MAX_DURATION',
      'HEARTBEAT_TIMEOUT',
    ],
    rights: {
      sessions: [LOOK, 'dynamodb:UpdateItem', 'dynamodb:DeleteItem', 'dynamodb:Scan'],
      connections: [LOOK, 'dynamodb:GetItem', 'dynamodb:DeleteItem', 'dynamodb:Scan'],
      members: ['dynamodb:Query'],
      rateLimits: [],
      post: ['POST', 'DELETE'],
      languages: 'no',
      invokes: 'nothing',
    },
  },
  refresh: {
    memoryMegabytes: 256,
    timeoutSeconds: 30,
    routes: ['refreshConnection'],
    variables: [
      ...EVERY,
      ...TOKENS,
      ...STATE,
      ...ADMITTING,
      'SESSION_MAX_DURATION',
      'RATE_LIMIT_CONTROL_PER_SEC',
    ],
    rights: {
      sessions: [LOOK, 'dynamodb:UpdateItem', 'dynamodb:ConditionCheckItem'],
      connections: [
        LOOK,
        'dynamodb:GetItem',
        'dynamodb:PutItem',
        'dynamodb:UpdateItem',
        'dynamodb:DeleteItem',
      ],
      members: ['dynamodb:Query'],
      rateLimits: BUCKETS,
      post: ['POST'],
      languages: 'asks',
      invokes: 'nothing',
    },
  },
};
