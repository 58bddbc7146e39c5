// Says what keeps an environment from being deployed: `node --import tsx bin/check.ts dev`.

import { BUILT_FOLDER, unusable } from '../lib/bootstrap.ts';
import { ConfigError, parseEnvironment, readConfig, undeployable } from '../lib/config.ts';

try {
  const environment = parseEnvironment(process.argv[2] ?? '');
  const mistakes = undeployable(environment, readConfig(environment));
  const binary = unusable(process.env.AMBO_BOOTSTRAP_FOLDER || BUILT_FOLDER);
  if (binary !== undefined) {
    mistakes.push(binary);
  }
  if (mistakes.length > 0) {
    throw new ConfigError(mistakes);
  }
} catch (error) {
  if (!(error instanceof ConfigError)) {
    throw error;
  }
  console.error(error.message);
  process.exitCode = 2;
}
