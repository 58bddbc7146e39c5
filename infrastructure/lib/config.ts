import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { Ajv, type ErrorObject } from 'ajv';

/** The environments, each with its file in `config/`. */
export const ENVIRONMENTS = ['dev', 'staging', 'prod'] as const;
export type Environment = (typeof ENVIRONMENTS)[number];

/** What an environment is made from: `config/schema.json` explains each key. */
export interface Config {
  readonly account: string;
  readonly region: string;
  readonly cognitoUserPoolId: string;
  readonly cognitoClientId: string;
  readonly cognitoSelfSignUp?: boolean;
  readonly sessionMaxDurationHours: number;
  readonly connectionRefreshMinutes: number;
  readonly connectionWarningMinutes: number;
  readonly maxListenersPerSession: number;
  readonly rateLimitSessionsPerHour: number;
  readonly rateLimitListenerJoinsPerMin: number;
  readonly rateLimitConnectionAttemptsPerMin: number;
  readonly rateLimitHeartbeatsPerMin: number;
  readonly dataRetentionHours: number;
  readonly maxActiveSessions: number;
  readonly alarmEmail: string;
  readonly domainName?: string;
  readonly certificateArn?: string;
  readonly mediaUrl?: string;
}

/** The account in the files as they come: it has to be replaced before anything is deployed. */
export const EXAMPLE_ACCOUNT = '000000000000';

export const CONFIG_FOLDER = join(import.meta.dirname, '..', 'config');

/** Every mistake of one file, a line each: file, key, and what to do. */
export class ConfigError extends Error {
  constructor(readonly mistakes: readonly string[]) {
    super(mistakes.join('\n'));
    this.name = 'ConfigError';
  }
}

/** The environment of this name. */
export function parseEnvironment(name: string): Environment {
  const known = ENVIRONMENTS.find((environment) => environment === name);
  if (known === undefined) {
    throw new ConfigError([`"${name}" is no environment: give one of ${ENVIRONMENTS.join(', ')}`]);
  }
  return known;
}

/** Reads and checks the file of an environment. */
export function readConfig(environment: Environment, folder = CONFIG_FOLDER): Config {
  const file = `config/${environment}.json`;
  let text: string;
  try {
    text = readFileSync(join(folder, `${environment}.json`), 'utf8');
  } catch {
    throw new ConfigError([`${file}: is missing or cannot be read: copy config/dev.json to it`]);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ConfigError([`${file}: is not JSON: ${(error as Error).message}`]);
  }
  return checkConfig(file, value);
}

/** Checks the value of a file, and tells all its mistakes at once. */
export function checkConfig(file: string, value: unknown): Config {
  if (!validate(value)) {
    throw new ConfigError((validate.errors ?? []).map((error) => `${file}: ${explain(error)}`));
  }
  const mistakes = misfits(value);
  if (mistakes.length > 0) {
    throw new ConfigError(mistakes.map((mistake) => `${file}: ${mistake}`));
  }
  return value;
}

/** What keeps a configuration that is right from being deployed. */
export function undeployable(environment: Environment, config: Config): string[] {
  const file = `config/${environment}.json`;
  const mistakes: string[] = [];
  if (config.account === EXAMPLE_ACCOUNT) {
    mistakes.push(
      `${file}: account: is still the example: ${schema.properties.account.description}`,
    );
  }
  if (environment === 'prod' && config.alarmEmail === '') {
    mistakes.push(`${file}: alarmEmail: nobody would hear of an alarm: give an address`);
  }
  return mistakes;
}

const schema = JSON.parse(readFileSync(join(CONFIG_FOLDER, 'schema.json'), 'utf8')) as {
  properties: Record<string, { description: string }> & { account: { description: string } };
};
const validate = new Ajv({ allErrors: true }).compile<Config>(schema);

function explain(error: ErrorObject): string {
  if (error.keyword === 'additionalProperties') {
    const key = String(error.params.additionalProperty);
    return `${key}: is no key: remove it, or see config/schema.json for the right name`;
  }
  if (error.keyword === 'required') {
    const key = String(error.params.missingProperty);
    return `${key}: is missing: ${schema.properties[key]?.description}`;
  }
  const key = error.instancePath.slice(1);
  if (key === '') {
    return 'must hold one JSON object, as config/dev.json does';
  }
  return `${key}: ${error.message}: ${schema.properties[key]?.description}`;
}

/** What the schema cannot say: how keys fit together. */
function misfits(config: Config): string[] {
  const mistakes: string[] = [];
  if ((config.cognitoUserPoolId === '') !== (config.cognitoClientId === '')) {
    mistakes.push(
      'cognitoUserPoolId, cognitoClientId: give both for an existing pool, or "" twice to have one made',
    );
  }
  if (config.cognitoUserPoolId !== '' && config.cognitoUserPoolId.split('_')[0] !== config.region) {
    mistakes.push(`cognitoUserPoolId: is of another region: it must be in ${config.region}`);
  }
  if (config.cognitoSelfSignUp !== undefined && config.cognitoUserPoolId !== '') {
    mistakes.push('cognitoSelfSignUp: is set in your own pool: remove the key');
  }
  if ((config.domainName === undefined) !== (config.certificateArn === undefined)) {
    mistakes.push('domainName, certificateArn: give both, or leave both out');
  }
  if (
    config.certificateArn !== undefined &&
    config.certificateArn.split(':')[3] !== config.region
  ) {
    mistakes.push(`certificateArn: is of another region: it must be in ${config.region}`);
  }
  if (config.connectionRefreshMinutes >= config.connectionWarningMinutes) {
    mistakes.push('connectionRefreshMinutes: must be less than connectionWarningMinutes');
  }
  return mistakes;
}
