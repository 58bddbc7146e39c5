/** The real server, as a process of its own. */

import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '../../../..');
export const BIN = resolve(process.env.AMBO_BIN ?? join(ROOT, 'target/debug/ambo'));

export class Ambo {
  /** @param {string[]} settings Flags of `ambo serve`. */
  static async start(...settings) {
    if (!existsSync(BIN)) {
      throw new Error(
        `${BIN} is missing: build it with \`cargo build -p ambo-cli\`, or set AMBO_BIN`,
      );
    }
    const ambo = new Ambo();
    ambo.folder = mkdtempSync(join(tmpdir(), 'ambo-js-'));
    ambo.port = await freePort();
    ambo.settings = settings;
    await ambo.launch();
    return ambo;
  }

  get url() {
    return `ws://127.0.0.1:${this.port}/ws`;
  }

  /** Starts the process, and resolves when it answers. */
  async launch() {
    const flags = ['--listen', `127.0.0.1:${this.port}`, '--data-dir', this.folder];
    const env = { PATH: process.env.PATH, HOME: this.folder };
    const off = ['connects-per-min', 'joins-per-min', 'sessions-per-hour'];
    const limits = off.flatMap((name) => [`--rate-limit-${name}`, '0']);
    const args = ['serve', '--log', 'error', ...flags, ...limits, ...this.settings];
    this.process = spawn(BIN, args, { env, stdio: ['ignore', 'ignore', 'inherit'] });
    while (!(await this.#answers())) {
      if (this.process.exitCode !== null)
        throw new Error(`ambo ended with ${this.process.exitCode}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  #answers() {
    const socket = connect(this.port, '127.0.0.1');
    return new Promise((resolve) => {
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
    }).finally(() => socket.destroy());
  }

  token(user = 'ann') {
    return execFileSync(BIN, ['token', '--user', user, '--data-dir', this.folder], {
      encoding: 'utf8',
      env: { PATH: process.env.PATH, HOME: this.folder },
    }).trim();
  }

  async kill() {
    const gone = once(this.process, 'exit');
    this.process.kill('SIGKILL');
    await gone;
  }

  async stop() {
    if (this.process.exitCode === null && this.process.signalCode === null) await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/**
 * A port where nobody listens, and that the system gives to nobody who connects or asks for any: a
 * server that is started again must find its own port free.
 */
export async function freePort() {
  for (;;) {
    const port = 12_000 + Math.floor(Math.random() * 18_000);
    const server = createServer();
    const isFree = await new Promise((resolve) => {
      server.once('listening', () => resolve(true)).once('error', () => resolve(false));
      server.listen(port, '127.0.0.1');
    });
    if (!isFree) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
}

/** Runs a program to its end; what it said and how it ended. */
export async function run(command, args, options = {}) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  const said = { out: '', err: '', child };
  child.stdout.on('data', (text) => (said.out += text));
  child.stderr.on('data', (text) => (said.err += text));
  options.onStart?.(said);
  // Not `exit`: what it said last may come after that.
  [said.code] = await once(child, 'close');
  return said;
}
