import { App, type AppProps, Validations } from 'aws-cdk-lib';

import { PLACEHOLDER_FOLDER } from './bootstrap.ts';
import { type Environment, readConfig } from './config.ts';
import { AmboStack } from './stack.ts';

/** The app with the stacks of these environments. */
export function makeApp(
  environments: readonly Environment[],
  bootstrapFolder: string,
  props?: AppProps,
): App {
  const app = new App(props);
  for (const environment of environments) {
    const stack = new AmboStack(app, {
      environment,
      config: readConfig(environment),
      bootstrapFolder,
    });
    if (bootstrapFolder === PLACEHOLDER_FOLDER) {
      Validations.of(stack).addWarning(
        'ambo:placeholder',
        'The functions hold a placeholder, to look at and not to deploy: make lambda builds the real one',
      );
    }
  }
  return app;
}
