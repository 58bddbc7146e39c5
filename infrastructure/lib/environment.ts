import type { Config } from './config.ts';
import type { Handler } from './handlers.ts';

/** What the functions are told about the things round them. */
export interface Surroundings {
  readonly sessionsTable: string;
  readonly connectionsTable: string;
  readonly rateLimitsTable: string;
  /** Where messages to connections are posted. */
  readonly connectionsEndpoint: string;
  readonly issuer: string;
  readonly clientId: string;
}

/**
 * The value of every variable that the bootstrap reads. This is the only place where one is made;
 * `handlers.ts` says which handler gets which. What no key of the configuration sets is the wire
 * contract's default; it is written out so that it can be seen and changed in one place.
 */
export function environment(handler: Handler, config: Config, around: Surroundings) {
  return {
    HANDLER: handler,
    LOG: 'info',
    OIDC_ISSUER: around.issuer,
    OIDC_AUDIENCE: around.clientId,
    OIDC_JWKS_URL: `${around.issuer}/.well-known/jwks.json`,
    SESSIONS_TABLE: around.sessionsTable,
    CONNECTIONS_TABLE: around.connectionsTable,
    RATE_LIMITS_TABLE: around.rateLimitsTable,
    CONNECTIONS_ENDPOINT: around.connectionsEndpoint,
    MEDIA_URL: config.mediaUrl,
    MAX_LISTENERS_PER_SESSION: String(config.maxListenersPerSession),
    SESSION_MAX_DURATION: `${config.sessionMaxDurationHours}h`,
    SPEAKER_GRACE: '30s',
    CONNECTION_REFRESH: `${config.connectionRefreshMinutes}m`,
    CONNECTION_WARNING: `${config.connectionWarningMinutes}m`,
    // API Gateway closes every connection at this age, whatever stands here.
    CONNECTION_MAX_DURATION: '2h',
    HEARTBEAT_TIMEOUT: '90s',
    RATE_LIMIT_SESSIONS_PER_HOUR: String(config.rateLimitSessionsPerHour),
    RATE_LIMIT_REFUSED_JOINS_PER_MIN: '60',
    RATE_LIMIT_JOINS_PER_MIN: String(config.rateLimitListenerJoinsPerMin),
    RATE_LIMIT_CONNECTS_PER_MIN: String(config.rateLimitConnectionAttemptsPerMin),
    RATE_LIMIT_HEARTBEATS_PER_MIN: String(config.rateLimitHeartbeatsPerMin),
    RATE_LIMIT_CONTROL_PER_SEC: '10',
  };
}

export type Values = ReturnType<typeof environment>;
export type Variable = keyof Values;
