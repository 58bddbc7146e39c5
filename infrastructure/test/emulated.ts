// Synthesizes what the end-to-end test deploys, with the bootstrap in the folder that is named.

import { App } from 'aws-cdk-lib';

import { AmboStack } from '../lib/stack.ts';
import { PLAIN } from './plain.ts';

const app = new App();
new AmboStack(app, {
  environment: 'dev',
  config: PLAIN,
  bootstrapFolder: process.argv[2] ?? '',
});
app.synth();
