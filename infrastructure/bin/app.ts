// Synthesizes all environments, or the one that AMBO_ENVIRONMENT names.

import { makeApp } from '../lib/app.ts';
import { bootstrapFolder } from '../lib/bootstrap.ts';
import { ConfigError, ENVIRONMENTS, parseEnvironment } from '../lib/config.ts';

try {
  const named = process.env.AMBO_ENVIRONMENT ?? '';
  const wanted = named === '' ? ENVIRONMENTS : [parseEnvironment(named)];
  makeApp(wanted, bootstrapFolder(process.env.AMBO_BOOTSTRAP_FOLDER)).synth();
} catch (error) {
  if (!(error instanceof ConfigError)) {
    throw error;
  }
  console.error(error.message);
  process.exitCode = 2;
}
