import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { describe, expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '..', '..');
const FOLDER = join(ROOT, 'docs', 'aws');
const PAGES = readdirSync(FOLDER).filter((name) => name.endsWith('.md'));

const page = (name: string) => readFileSync(join(FOLDER, name), 'utf8');
const all = PAGES.map(page).join('\n');
const found = (text: string, pattern: RegExp) => [
  ...new Set([...text.matchAll(pattern)].map((match) => match[1] ?? '')),
];

const schema = JSON.parse(
  readFileSync(join(ROOT, 'infrastructure', 'config', 'schema.json'), 'utf8'),
) as { properties: object };
const KEYS = Object.keys(schema.properties).sort();

describe('the documents', () => {
  test('are those that others link to', () => {
    expect(PAGES).toEqual(
      expect.arrayContaining([
        'COST.md',
        'DEPLOYMENT.md',
        'DEPLOYMENT_CHECKLIST.md',
        'DEPLOYMENT_QUICK_REFERENCE.md',
        'LIMITS.md',
        'RATE_LIMITING.md',
      ]),
    );
  });

  test('name targets that the Makefile has', () => {
    const makefile = readFileSync(join(ROOT, 'Makefile'), 'utf8');
    const named = found(all, /(?:`|^\$ )make ([a-z0-9-]+)/gm);
    expect(named.length).toBeGreaterThan(8);
    for (const target of named) {
      expect(makefile).toMatch(new RegExp(`^${target}:`, 'm'));
    }
  });

  test('explain every key of the configuration, and no other', () => {
    const table = page('DEPLOYMENT.md').split('## 2.')[1]?.split('## 3.')[0] ?? '';
    const rows = table.split('\n').filter((line) => line.startsWith('| `'));
    const named = rows.flatMap((row) => found(row.split('|')[1] ?? '', /`(\w+)`/g));
    expect(named.sort()).toEqual(KEYS);
  });

  test('name settings of the server that its own page has', () => {
    const configuration = readFileSync(join(ROOT, 'docs', 'configuration.md'), 'utf8');
    for (const setting of found(page('RATE_LIMITING.md'), /`(rate_limit\w+_per\w+)`/g)) {
      expect(configuration).toContain(`\`${setting}\``);
    }
  });

  test('name variables that are set', () => {
    const environment = readFileSync(join(ROOT, 'infrastructure', 'lib', 'environment.ts'), 'utf8');
    for (const variable of found(page('RATE_LIMITING.md'), /`([A-Z]+_[A-Z_]+)`/g)) {
      if (variable !== 'RATE_LIMIT_EXCEEDED') {
        expect(environment).toContain(`${variable}:`);
      }
    }
  });

  test.each(PAGES)('%s links to what is there', (name) => {
    const text = page(name);
    for (const link of found(text, /\]\((?!https:)([^)]+)\)/g)) {
      const [path, anchor] = link.split('#');
      const target =
        path === '' ? join(FOLDER, name) : join(dirname(join(FOLDER, name)), path ?? '');
      expect(existsSync(target), link).toBe(true);
      if (anchor !== undefined) {
        const headings = found(readFileSync(target, 'utf8'), /^#+ (.+)$/gm);
        const anchors = headings.map((heading) =>
          heading
            .toLowerCase()
            .replace(/[^\w -]/g, '')
            .replaceAll(' ', '-'),
        );
        expect(anchors, link).toContain(anchor);
      }
    }
  });
});

describe('the cost', () => {
  const sums = page('COST.md')
    .split('\n')
    .map((line) => /^[a-z, ]+? {2,}([\d.*/+ ]+)= ([\d.]+)$/.exec(line))
    .filter((match) => match !== null)
    .map(([, sum, result]) => [sum?.trim() ?? '', result ?? ''] as const);

  test('has its sums written out', () => {
    expect(sums.length).toBeGreaterThan(20);
  });

  test.each(sums)('%s = %s', (sum, result) => {
    const digits = result.split('.')[1]?.length ?? 0;
    const value = sum
      .split(' + ')
      .map((product) => product.split(/ (?=[*/])/).reduce(times, 1))
      .reduce((a, b) => a + b, 0);
    expect(Math.abs(value - Number(result))).toBeLessThanOrEqual(0.5001 * 10 ** -digits);
  });
});

/** One more factor, or divisor, of a product. */
function times(product: number, step: string): number {
  return step.startsWith('/')
    ? product / Number(step.slice(2))
    : product * Number(step.replace('* ', ''));
}
