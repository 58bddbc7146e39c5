/** How long to wait after a failure. */

/** @import { Timing } from './timing.js' */

/** Counts failures in a row. */
export class Backoff {
  failures = 0;

  /**
   * The wait before coming back after a loss: anything up to 1, 2, 4 … 30 s ("full jitter"), so
   * that the listeners of a hall do not come back together. It is never longer than the first
   * retry and the time it was away already: whoever lost the server for a moment is back in a
   * moment. What the server asked for is obeyed, and spread by the first retry.
   *
   * @param {number | undefined} retryAfter What the server asked for.
   * @param {number} away How long there has been no steady connection.
   * @param {Timing} timing
   * @param {() => number} random From 0 up to 1.
   */
  afterLoss(retryAfter, away, timing, random) {
    const wait = random() * Math.min(this.#ladder(timing), timing.firstRetry + away);
    if (retryAfter === undefined) return wait;
    return Math.max(wait, retryAfter + random() * timing.firstRetry);
  }

  /**
   * The wait before the next try to refresh: 1, 2, 4 … 30 s. The old connection still serves, and
   * the server has spread its requests already.
   *
   * @param {number | undefined} retryAfter
   * @param {Timing} timing
   */
  afterFailedRefresh(retryAfter, timing) {
    return Math.max(this.#ladder(timing), retryAfter ?? 0);
  }

  /** @param {Timing} timing */
  #ladder(timing) {
    return Math.min(timing.firstRetry * 2 ** this.failures++, timing.longestRetry);
  }
}
