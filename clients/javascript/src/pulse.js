/** Signs of life: ours to the server and the server's to us. */

/** @import { Timing } from './timing.js' */

/**
 * The heartbeats and pings of one connection.
 *
 * Browsers cannot ping, so there a ping is a message that the server answers: a heartbeat while
 * the server's limit on heartbeats allows one more than the next regular beat needs, else a
 * question that changes nothing. Any message that follows is the answer.
 */
export class Pulse {
  /** @type {number} */
  #nextBeat;
  /** @type {number} */
  #heardAt;
  /** @type {number | undefined} */
  #pingedAt;
  /** Silence of the server after which it is asked. */
  #pingAfter;
  /** The server's bucket of heartbeats, as we know it. */
  #beats;
  #beatsAt;

  /**
   * @param {number} now
   * @param {Timing} timing
   * @param {() => number} random
   * @param {number} pingAfter
   */
  constructor(now, timing, random, pingAfter) {
    this.#pingAfter = pingAfter;
    this.#heardAt = now;
    this.#beats = timing.heartbeatsAtOnce;
    this.#beatsAt = now;
    this.#nextBeat = now + beatAfter(timing, random);
  }

  /**
   * Something came from the server.
   *
   * @param {number} now
   */
  heard(now) {
    this.#heardAt = now;
    this.#pingedAt = undefined;
  }

  /**
   * Asks for a ping now, because the line may have gone.
   *
   * @param {number} now
   */
  doubt(now) {
    if (this.#pingedAt === undefined) this.#heardAt = now - this.#pingAfter;
  }

  /**
   * What is to be done now; call until there is nothing more.
   *
   * @param {number} now
   * @param {Timing} timing
   * @param {() => number} random
   * @returns {'beat' | 'ping' | 'lost' | undefined}
   */
  due(now, timing, random) {
    // A ping must have gone out first: after a sleep of ours the server is not to blame.
    if (this.#pingedAt !== undefined && now >= this.#pingedAt + timing.pongLimit) return 'lost';
    if (now >= this.#nextBeat) {
      this.beat(now, timing, random);
      return 'beat';
    }
    if (this.#pingedAt === undefined && now >= this.#heardAt + this.#pingAfter) {
      this.#pingedAt = now;
      return 'ping';
    }
    return undefined;
  }

  /**
   * Whether the server allows a heartbeat more than the next regular one.
   *
   * @param {number} now
   * @param {Timing} timing
   */
  hasSpareBeat(now, timing) {
    this.#earn(now, timing);
    return this.#beats >= 2;
  }

  /**
   * A heartbeat goes out; the next regular one is a full span away.
   *
   * @param {number} now
   * @param {Timing} timing
   * @param {() => number} random
   */
  beat(now, timing, random) {
    this.#earn(now, timing);
    this.#beats = Math.max(0, this.#beats - 1);
    this.#nextBeat = now + beatAfter(timing, random);
  }

  /**
   * When something will be due.
   *
   * @param {Timing} timing
   */
  deadline(timing) {
    const life =
      this.#pingedAt === undefined
        ? this.#heardAt + this.#pingAfter
        : this.#pingedAt + timing.pongLimit;
    return Math.min(life, this.#nextBeat);
  }

  /**
   * @param {number} now
   * @param {Timing} timing
   */
  #earn(now, timing) {
    const earned = (now - this.#beatsAt) / timing.heartbeat;
    this.#beats = Math.min(timing.heartbeatsAtOnce, this.#beats + earned);
    this.#beatsAt = now;
  }
}

/**
 * @param {Timing} timing
 * @param {() => number} random
 */
function beatAfter({ heartbeat, heartbeatJitter }, random) {
  return heartbeat + (random() * 2 - 1) * heartbeatJitter;
}
