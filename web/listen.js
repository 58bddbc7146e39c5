// The listening page: joins a session and plays it. It shows how little a client needs; the
// package in clients/javascript does the same with everything a product wants.

const HEADER = 16;            // bytes before the payload of a frame
const AHEAD = 0.2;            // seconds of sound kept in hand against jitter
const MOST_AHEAD = 1.5;       // more than this after a replay is skipped: live is live
const CONNECT_LIMIT = 10_000; // ms for a connection to be answered
const STEADY = 2_000;         // ms; a server that fell over sooner than that was not back
const HEARTBEAT = 30_000;     // ms; a server that says nothing for twice as long is gone

const byId = (id) => document.getElementById(id);
const [form, level] = [byId('form'), byId('level')];

// ---- sound -------------------------------------------------------------------------------------
class Player {
  #context = new AudioContext();
  #analyser = this.#context.createAnalyser();
  #samples = new Float32Array(this.#analyser.fftSize);
  #format = null;
  #decoder = null;
  #next = 0; // when the next sound begins

  constructor() {
    this.#analyser.connect(this.#context.destination);
  }

  // Phones play nothing before a tap, and stop when a call comes in.
  wake() { return this.#context.resume(); }

  // What the frames are: an OpusHead, or JSON such as
  // {"codec":"pcm_s16le","rate":16000,"channels":1}. Returns what is wrong with it, if anything.
  configure(payload) {
    this.#decoder?.close();
    this.#decoder = this.#format = null;
    const text = new TextDecoder().decode(payload);
    if (text.startsWith('OpusHead')) {
      if (!('AudioDecoder' in window)) return 'This browser cannot play Opus.';
      const output = (sound) => this.#decoded(sound);
      this.#decoder = new AudioDecoder({ output, error: console.warn });
      this.#decoder.configure({ codec: 'opus', sampleRate: 48_000, numberOfChannels: payload[9] });
      return null;
    }
    let format = {};
    try { format = JSON.parse(text); } catch { /* it is something else */ }
    if (format.codec !== 'pcm_s16le') return 'This page cannot play what the speaker sends.';
    this.#format = format;
    return null;
  }

  play(payload, micros) {
    if (this.#decoder) {
      const chunk = { type: 'key', timestamp: Number(micros), data: payload };
      this.#decoder.decode(new EncodedAudioChunk(chunk));
    } else if (this.#format) {
      this.#pcm(payload, this.#format);
    }
  }

  #pcm(payload, { rate, channels }) {
    const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
    const length = Math.floor(payload.byteLength / 2 / channels);
    this.#lay(channels, length, rate, (samples, channel) => {
      for (let at = 0; at < length; at += 1) {
        samples[at] = view.getInt16((at * channels + channel) * 2, true) / 32_768;
      }
    });
  }

  #decoded(sound) {
    const { numberOfChannels, numberOfFrames, sampleRate } = sound;
    this.#lay(numberOfChannels, numberOfFrames, sampleRate, (samples, planeIndex) => {
      sound.copyTo(samples, { planeIndex, format: 'f32-planar' });
    });
    sound.close();
  }

  // Buffers are laid end to end, anew after a hole; of a replay, what is too far ahead is left out.
  #lay(channels, length, rate, fill) {
    const now = this.#context.currentTime;
    if (this.#next < now) this.#next = now + AHEAD;
    if (length === 0 || this.#next > now + MOST_AHEAD) return;
    const buffer = this.#context.createBuffer(channels, length, rate);
    for (let channel = 0; channel < channels; channel += 1) {
      fill(buffer.getChannelData(channel), channel);
    }
    const source = this.#context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.#analyser);
    source.start(this.#next);
    this.#next += buffer.duration;
  }

  // From 0, which is 60 dB down, to 1, which is full scale.
  get level() {
    this.#analyser.getFloatTimeDomainData(this.#samples);
    const power = this.#samples.reduce((sum, sample) => sum + sample * sample, 0);
    const decibels = 10 * Math.log10(power / this.#samples.length + 1e-12);
    return Math.min(1, Math.max(0, decibels / 60 + 1));
  }

  close() { return this.#context.close(); }
}

// ---- the session -------------------------------------------------------------------------------

class Listening {
  player = new Player();
  #session;
  #language;
  #socket = null;   // the one that serves
  #second = null;   // the one that will, during a refresh
  #token = null;
  #last = null;     // { language, sequence } of the newest frame
  #captured = 0n;
  #turn = null;     // the newest word on the broadcast
  #failures = 0;
  #servedAt = 0;
  #timer = 0;
  #isJoined = false;
  #heardAt = 0;
  frames = 0;
  missing = 0;

  constructor(session, language) {
    [this.#session, this.#language] = [session, language];
    this.player.wake();
    this.#timer = setInterval(() => this.#beat(), HEARTBEAT);
    this.#socket = this.#open();
  }

  stop(text, detail = '') {
    clearInterval(this.#timer);
    for (const socket of [this.#socket, this.#second]) socket?.close(1000);
    this.#socket = this.#second = null;
    this.player.close();
    listening = null;
    present(false);
    show(text, detail);
  }

  #open() {
    const url = new URL('/ws', location.href);
    url.protocol = url.protocol.replace('http', 'ws');
    const member = { sessionId: this.#session, targetLanguage: this.#language };
    // What is empty counts as left out.
    url.search = new URLSearchParams(this.#isJoined ? {
      ...member,
      action: 'refreshConnection',
      role: 'listener',
      refreshToken: this.#token ?? '',
      lastSequence: this.#last?.sequence ?? '',
    } : { ...member, action: 'joinSession' });
    const socket = new WebSocket(url, ['ambo.v1']);
    socket.binaryType = 'arraybuffer';
    socket.onmessage = ({ data }) => this.#heard(socket, data);
    socket.onclose = () => this.#closed(socket);
    setTimeout(() => socket.isAnswered || socket.close(), CONNECT_LIMIT);
    return socket;
  }

  #heard(socket, data) {
    if (socket === this.#socket) this.#heardAt = performance.now();
    if (typeof data !== 'string') return socket === this.#socket ? this.#frame(data) : null;
    let message;
    try { message = JSON.parse(data); } catch { return null; }
    const isOurs = socket === this.#socket || socket === this.#second;
    return isOurs && this.#messages[message?.type]?.(message, socket);
  }

  #messages = {
    sessionJoined: (joined, socket) => {
      this.#isJoined = true;
      this.#serves(socket);
      this.#turned(joined);
    },
    connectionRefreshComplete: (_, socket) => {
      this.#token = null;
      if (socket === this.#socket) this.#turned(this.#turn);
      this.#serves(socket);
    },
    connectionRefreshRequired: ({ refreshToken }) => {
      this.#token = refreshToken ?? this.#token;
      this.#second ??= this.#open();
    },
    sessionPaused: (turn) => this.#turned(turn),
    sessionMuted: (turn) => this.#turned(turn),
    sessionResumed: (turn) => this.#turned(turn),
    sessionUnmuted: (turn) => this.#turned(turn),
    broadcastState: (turn) => this.#turned(turn),
    sessionEnded: ({ message }) => this.stop('The session is over.', message),
    error: ({ code, message }, socket) => {
      const mayPass = /^(RATE_LIMIT|INTERNAL|SESSION_FULL|SERVICE)/.test(code);
      if (socket === this.#second) socket.close();
      // A refresh has moved this member, but its answer was lost.
      else if (code === 'CONNECTION_NOT_FOUND') this.#lost(socket);
      else if (!socket.isAnswered && !(mayPass && this.#isJoined)) this.stop(message);
    },
  };

  // What holds is shown, whichever part of it has changed, unless a newer word has overtaken it.
  #turned(turn) {
    const { broadcastState: { isPaused, isMuted, lastStateChange }, message, reason } = turn;
    if (lastStateChange < this.#turn?.broadcastState.lastStateChange) return;
    this.#turn = turn;
    if (isPaused) show(reason ? 'Waiting for the speaker …' : 'The speaker has paused.', message);
    else show(isMuted ? 'The microphone is closed.' : 'Listening.', message);
  }

  // Who was away when the broadcast went on has missed the word for it, but not the sound.
  #sounds() {
    const state = this.#turn?.broadcastState;
    if (!state?.isPaused && !state?.isMuted) return;
    this.#turned({ broadcastState: { ...state, isPaused: false, isMuted: false } });
  }

  // The server has answered on this socket: it serves from now on.
  #serves(socket) {
    socket.isAnswered = true;
    this.#servedAt = performance.now();
    if (socket !== this.#second) return;
    this.#socket?.close(1000);
    [this.#socket, this.#second] = [socket, null];
  }

  #frame(data) {
    if (data.byteLength <= HEADER) return null;
    const view = new DataView(data);
    const [kind, language, sequence] = [view.getUint8(1), view.getUint16(2), view.getUint32(4)];
    const micros = view.getBigUint64(8);
    const payload = new Uint8Array(data, HEADER);
    if (kind === 2) {
      const wrong = this.player.configure(payload);
      return wrong && show(wrong);
    }
    const last = this.#last?.language === language ? this.#last.sequence : null;
    // Heard before, unless it is later than all: then a speaker counts anew.
    if (last !== null && sequence <= last && micros <= this.#captured) return null;
    if (last !== null && sequence > last + 1) this.missing += sequence - last - 1;
    this.#last = { language, sequence };
    if (micros > this.#captured) this.#captured = micros;
    this.frames += 1;
    this.#sounds();
    return this.player.play(payload, micros);
  }

  #beat() {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    if (performance.now() - this.#heardAt > 2 * HEARTBEAT) this.#lost(this.#socket);
    else this.#socket.send('{"action":"heartbeat"}');
  }

  // No code says that the session is over: sessionEnded does, or the refusal to come back.
  #closed(socket) {
    if (socket === this.#second) {
      this.#second = null;
      this.#later(() => { if (this.#token) this.#second ??= this.#open(); });
    } else if (socket === this.#socket) {
      if (!this.#isJoined) this.stop('The server cannot be reached. Please try again.');
      else this.#lost(socket);
    }
  }

  #lost(socket) {
    socket.onclose = null;
    socket.close();
    [this.#socket, this.#second] = [this.#second, null];
    if (performance.now() - this.#servedAt > STEADY) this.#failures = 0;
    show('The connection is lost; trying again …');
    if (!this.#socket) this.#later(() => { this.#socket ??= this.#open(); });
  }

  // Anything up to 1, 2, 4 … 30 s, so that the phones of a hall do not come back together.
  #later(action) {
    const most = Math.min(30_000, 1_000 * 2 ** this.#failures);
    this.#failures += 1;
    setTimeout(() => listening === this && action(), Math.random() * most);
  }
}

// ---- the page ----------------------------------------------------------------------------------

let listening = null;

function show(text, detail = '') {
  [byId('state').textContent, byId('notice').textContent] = [text, detail];
}

function present(isListening) {
  byId('listen').hidden = isListening;
  byId('stop').hidden = level.hidden = !isListening;
}

function draw() {
  if (!listening) return;
  level.value = listening.player.level;
  const lost = listening.missing ? `, ${listening.missing} missing` : '';
  byId('figures').textContent = `${listening.frames} frames${lost}`;
  requestAnimationFrame(draw);
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  listening?.stop('');
  const { session: { value: id }, language: { value: code } } = form.elements;
  const [session, language] = [id.trim().toLowerCase(), code.toLowerCase()];
  history.replaceState(null, '', `?${new URLSearchParams({ session, language })}`);
  present(true);
  show('Connecting …');
  listening = new Listening(session, language);
  draw();
});
byId('stop').addEventListener('click', () => listening?.stop('Stopped.'));
document.addEventListener('visibilitychange', () => listening?.player.wake());

const names = new Intl.DisplayNames(navigator.languages, { type: 'language' });
for (const code of 'ar de en es fr hi it ko pl pt ru sw uk zh'.split(' ')) {
  byId('languages').append(new Option(names.of(code), code));
}
const given = new URLSearchParams(location.search);
form.elements.session.value = given.get('session') ?? '';
form.elements.language.value = given.get('language') ?? navigator.language.slice(0, 2);
byId(form.elements.session.value ? 'listen' : 'session').focus();
