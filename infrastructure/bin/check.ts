// Says what keeps an environment from being deployed. `check.ts dev` looks at the configuration,
// `check.ts dev FOLDER` at the bootstrap in that folder too.

import { unusable } from '../lib/bootstrap.ts';
import { ConfigError, parseEnvironment, readConfig, undeployable } from '../lib/config.ts';

try {
  const [name, folder] = process.argv.slice(2);
  const environment = parseEnvironment(name ?? '');
  const mistakes = undeployable(environment, readConfig(environment));
  const binary = folder === undefined ? undefined : unusable(folder);
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
