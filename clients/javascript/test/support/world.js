/**
 * A world without sockets or waiting: machines, a server that keeps to the contract, and a network
 * between them that a seed makes good or bad.
 */

import { Machine } from '../../src/machine.js';
import { parseFrame } from '../../src/wire.js';
import { dice, SESSION, STATE } from './stage.js';

/** What the server keeps of a channel. */
const HISTORY = 10_000;

export class World {
  now = 0;
  #agenda = [];
  #order = 0;
  #lines = new Set();
  members = [];
  server = { isUp: true, last: undefined, history: [], configuration: undefined };

  constructor(seed) {
    this.random = dice(seed);
  }

  /** A number from `least` up to `most`. */
  between(least, most) {
    return least + this.random() * (most - least);
  }

  pick(list) {
    return list[Math.floor(this.random() * list.length)];
  }

  add(role) {
    const machine = new Machine(role);
    const member = { role, machine, events: [], lines: new Map(), tickAt: Infinity };
    this.members.push(member);
    this.tell(member, { type: 'start' });
    return member;
  }

  tell(member, input) {
    const effects = member.machine.handle(input, this.now, this.random);
    for (const effect of effects) this.#perform(member, effect);
    const at = member.machine.deadline ?? Infinity;
    if (at >= member.tickAt) return;
    member.tickAt = at;
    this.at(at, () => {
      member.tickAt = Infinity;
      this.tell(member, { type: 'tick' });
    });
  }

  at(time, act) {
    const entry = { time: Math.max(time, this.now), order: (this.#order += 1), act };
    let place = this.#agenda.length;
    const isLater = (other) =>
      other.time > entry.time || (other.time === entry.time && other.order > entry.order);
    while (place > 0 && isLater(this.#agenda[place - 1])) place -= 1;
    this.#agenda.splice(place, 0, entry);
  }

  runUntil(time) {
    while (this.#agenda[0]?.time <= time) {
      const { time: at, act } = this.#agenda.shift();
      this.now = at;
      act();
    }
    this.now = time;
  }

  #perform(member, effect) {
    if (effect.type === 'deliver') return void member.events.push(effect.event);
    if (effect.type === 'open') return this.#open(member, effect);
    const line = member.lines.get(effect.socket);
    if (effect.type === 'close') this.#up(line, () => this.#close(line));
    else if (effect.type === 'abort') this.#up(line, () => this.#drop(line));
    else if (effect.type === 'ping') this.#up(line, () => this.#down(line, { type: 'pong' }));
    else this.#up(line, () => this.#receive(line, effect.text ?? effect.data));
    if (effect.type === 'close' || effect.type === 'abort') member.lines.delete(effect.socket);
    if (effect.type === 'audio') {
      this.at(this.now, () =>
        this.tell(member, { type: 'written', socket: effect.socket, frames: 1 }),
      );
    }
  }

  #open(member, { socket, query }) {
    const line = {
      member,
      socket,
      query,
      isLive: true,
      isDark: false,
      up: 0,
      down: 0,
      since: this.now,
    };
    member.lines.set(socket, line);
    this.at(this.now + this.between(1, 100), () => {
      if (!this.server.isUp) {
        const failure = { kind: 'unreachable', message: 'refused' };
        return this.tell(member, { type: 'failed', socket, failure });
      }
      this.#lines.add(line);
      this.#down(line, {
        type: 'opened',
        framing: 'binary',
        canPing: member.role.kind === 'speaker',
      });
      return this.#welcome(line);
    });
  }

  #welcome(line) {
    if (this.server.ended) return this.#refuse(line, 'SESSION_NOT_FOUND');
    line.member.current = line;
    const { action, role, targetLanguage, lastSequence } = line.query;
    const { last, history, configuration } = this.server;
    const common = { sessionId: SESSION, sourceLanguage: 'en', broadcastState: STATE };
    line.isSpeaker = line.member.role.kind === 'speaker';
    if (action === 'createSession') {
      return this.#say(line, { type: 'sessionCreated', expiresAt: 1, ...common });
    }
    if (action === 'joinSession') {
      this.#say(line, { type: 'sessionJoined', targetLanguage, ...common });
    } else {
      const missed = history.filter(({ sequence }) => sequence > Number(lastSequence));
      const own = role === 'speaker' ? { lastSequence: last } : { replayed: missed.length };
      this.#say(line, {
        type: 'connectionRefreshComplete',
        role,
        targetLanguage,
        ...own,
        ...common,
      });
      if (configuration) this.#down(line, { type: 'binary', bytes: configuration });
      for (const { bytes } of missed) this.#down(line, { type: 'binary', bytes });
    }
    line.isSeated = !line.isSpeaker;
    return undefined;
  }

  #receive(line, data) {
    const { server } = this;
    const isMember = line.member.current === line && !server.ended;
    if (typeof data === 'string') {
      const { action } = JSON.parse(data);
      if (!isMember) this.#refuse(line, 'CONNECTION_NOT_FOUND');
      else if (action === 'heartbeat') this.#say(line, { type: 'heartbeatAck' });
      else if (action === 'endSession') this.#end(action);
      else if (action === 'changeLanguage') {
        this.#say(line, { type: 'languageChanged', targetLanguage: 'es' });
      }
      return;
    }
    const { sequence, kind } = parseFrame(data);
    if (!isMember || sequence <= server.last) return;
    server.last = sequence;
    if (kind === 'configuration') server.configuration = data;
    server.history = server.history.filter(({ at }) => at > this.now - HISTORY);
    server.history.push({ sequence, bytes: data, at: this.now });
    for (const other of this.#lines) {
      if (other.isSeated) this.#down(other, { type: 'binary', bytes: data });
    }
  }

  /** To the server, in order, after a while. */
  #up(line, act) {
    if (!line?.isLive || line.isDark) return;
    line.up = Math.max(line.up, this.now + this.between(1, 80));
    this.at(line.up, () => this.#lines.has(line) && !line.isDark && act());
  }

  /** To the client, in order, after a while. */
  #down(line, input) {
    if (!line.isLive || line.isDark) return;
    line.down = Math.max(line.down, this.now + this.between(1, 80));
    this.at(line.down, () => {
      const isKnown = line.member.lines.get(line.socket) === line;
      if (isKnown && !line.isDark && !line.isCut)
        this.tell(line.member, { socket: line.socket, ...input });
    });
  }

  #say(line, message) {
    this.#down(line, { type: 'text', text: JSON.stringify(message) });
  }

  #refuse(line, code) {
    this.#say(line, { type: 'error', code, message: 'no' });
  }

  /** Who speaks ends the session by going. */
  #close(line) {
    if (line.isSpeaker && line.member.current === line) this.#end('close');
    this.#drop(line);
  }

  #end(how) {
    if (this.server.ended) return;
    this.server.ended = how;
    for (const line of this.#lines) {
      this.#say(line, { type: 'sessionEnded', reason: 'speakerEnded', message: 'over' });
    }
  }

  #drop(line) {
    line.isLive = false;
    this.#lines.delete(line);
  }

  /** The line breaks; what is on it is lost. */
  cut(line, code) {
    this.#drop(line);
    line.isCut = true;
    this.at(this.now + this.between(1, 50), () => {
      if (line.member.lines.delete(line.socket)) {
        this.tell(line.member, { type: 'closed', socket: line.socket, code });
      }
    });
  }

  lines() {
    return [...this.#lines].filter(({ isDark }) => !isDark);
  }

  /** Asks a member to refresh, as it does when a connection is old. */
  age(line) {
    this.#say(line, { type: 'connectionRefreshRequired', reason: 'age', refreshToken: 't' });
  }

  /** The server dies with all that it knows, and comes back. */
  restart(pause) {
    for (const line of [...this.#lines]) this.cut(line, 1006);
    this.server = { isUp: false, last: undefined, history: [], configuration: undefined };
    this.at(this.now + pause, () => (this.server.isUp = true));
  }
}
