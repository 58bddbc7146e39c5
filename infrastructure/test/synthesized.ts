import { App } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';

import { PLACEHOLDER_FOLDER } from '../lib/bootstrap.ts';
import type { Config, Environment } from '../lib/config.ts';
import { AmboStack } from '../lib/stack.ts';
import { PLAIN } from './plain.ts';

/** The template of an environment, with some keys of the plain configuration replaced. */
export function synthesize(environment: Environment, replaced: Partial<Config> = {}): Template {
  const config = { ...PLAIN, ...replaced };
  const stack = new AmboStack(new App(), {
    environment,
    config,
    bootstrapFolder: PLACEHOLDER_FOLDER,
  });
  return Template.fromStack(stack);
}

export interface Resource {
  readonly Type: string;
  readonly Properties: any;
  readonly DeletionPolicy?: string;
  readonly DependsOn?: readonly string[];
}

/** The resources of a type, by their ids in the template. */
export function resources(template: Template, type: string): Record<string, Resource> {
  return template.findResources(type) as Record<string, Resource>;
}

/** A value of the template as one line of text, with references as `{Id}`. */
export function text(value: unknown): string {
  if (typeof value === 'string') {
    return value;
  }
  const object = value as Record<string, unknown>;
  if (object['Fn::Join'] !== undefined) {
    const [separator, parts] = object['Fn::Join'] as [string, unknown[]];
    return parts.map(text).join(separator);
  }
  if (object['Fn::GetAtt'] !== undefined) {
    return `{${(object['Fn::GetAtt'] as string[]).join('.')}}`;
  }
  return `{${String(object.Ref)}}`;
}
