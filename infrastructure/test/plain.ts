import { type Config, EXAMPLE_ACCOUNT } from '../lib/config.ts';

/** What the tests deploy, whatever those who deploy have written into the files in `config/`. */
export const PLAIN: Config = {
  account: EXAMPLE_ACCOUNT,
  region: 'us-east-1',
  cognitoUserPoolId: '',
  cognitoClientId: '',
  cognitoSelfSignUp: true,
  sessionMaxDurationHours: 2,
  connectionRefreshMinutes: 100,
  connectionWarningMinutes: 105,
  maxListenersPerSession: 500,
  rateLimitSessionsPerHour: 50,
  rateLimitListenerJoinsPerMin: 600,
  rateLimitConnectionAttemptsPerMin: 1200,
  rateLimitHeartbeatsPerMin: 2,
  dataRetentionHours: 24,
  maxActiveSessions: 10,
  alarmEmail: '',
};
