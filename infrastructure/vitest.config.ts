import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // One process loads the CDK once; loading it for each file would cost more than the tests.
    isolate: false,
    fileParallelism: false,
    hookTimeout: 120_000,
    testTimeout: 120_000,
  },
});
