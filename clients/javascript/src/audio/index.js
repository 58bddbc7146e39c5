/**
 * Sound in the browser: from the microphone to frames, and from frames to the loudspeaker.
 *
 * @module
 */

/** @typedef {import('./capture.js').CaptureOptions} CaptureOptions */
/** @typedef {import('./context.js').Sounding} Sounding */
/** @typedef {import('./format.js').Format} Format */
/** @typedef {import('./playback.js').PlaybackOptions} PlaybackOptions */
/** @typedef {import('./playback.js').PlaybackReport} PlaybackReport */

export { Capture } from './capture.js';
export { formatOf, opusHead, pcmConfiguration } from './format.js';
export { Playback } from './playback.js';
