import { App, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import { describe, expect, test } from 'vitest';

import { makeApp } from '../lib/app.ts';
import { PLACEHOLDER_FOLDER } from '../lib/bootstrap.ts';
import { ENVIRONMENTS } from '../lib/config.ts';
import { AmboStack } from '../lib/stack.ts';
import { PLAIN } from './plain.ts';
import { synthesize } from './synthesized.ts';

describe('cdk-nag', () => {
  test.each(ENVIRONMENTS)('finds nothing in %s that no reason was given for', (environment) => {
    const app = new App();
    Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
    new AmboStack(app, {
      environment,
      config: PLAIN,
      bootstrapFolder: PLACEHOLDER_FOLDER,
    });
    expect(() => app.synth()).not.toThrow();
  });
});

test('the template is the one that was looked at last', () => {
  const template = synthesize('dev').toJSON() as Record<string, unknown>;
  expect(template).toMatchSnapshot();
});

test('a placeholder is said to be one', () => {
  const [stack] = makeApp(['dev'], PLACEHOLDER_FOLDER).synth().stacks;
  expect(stack?.messages.map((message) => message.entry.data)).toEqual([
    expect.stringContaining('The functions hold a placeholder'),
  ]);
});
