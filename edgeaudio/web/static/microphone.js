// This browser's microphone, sent to the server as 16-bit samples.

const MOST_WAITING_S = 2;  // what the network may hold back; beyond it samples are left out, and that is said

export class Microphone {
  // `ended(message)` is called once, whatever ends it; the message is empty when we stopped it ourselves.
  constructor(address, ended) {
    this.address = address;
    this.ended = ended;
    this.lost = 0;
  }

  async start() {
    try {
      await this.open();
    } catch (error) {
      this.stop(explain(error));
    }
  }

  async open() {
    if (!navigator.mediaDevices) throw new DOMException("", "InsecureContext");
    this.stream = await navigator.mediaDevices.getUserMedia({
      audio: {channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: true},
    });
    this.stream.getAudioTracks()[0].addEventListener("ended", () => this.stop("The microphone is gone."));
    await this.listen();
    if (this.over) { this.release(); return; }
    this.socket = new WebSocket(this.address({rate: String(this.context.sampleRate)}));
    this.socket.binaryType = "arraybuffer";
    this.socket.addEventListener("close", event => this.stop(event.reason ? `${event.reason}.` : "The connection was lost."));
    this.recorder.port.onmessage = event => this.send(event.data);
  }

  async listen() {
    try {
      await this.connect(new AudioContext({sampleRate: 16000}));
    } catch {  // some browsers do not resample microphones: then the server does
      await this.connect(new AudioContext());
    }
  }

  async connect(context) {
    this.context = context;
    try {
      await context.audioWorklet.addModule("worklet.js");
      this.recorder = new AudioWorkletNode(context, "recorder", {numberOfOutputs: 0});
      context.createMediaStreamSource(this.stream).connect(this.recorder);
      await context.resume();
    } catch (error) {
      context.close();
      throw error;
    }
  }

  send(block) {
    if (!this.socket || this.socket.readyState !== WebSocket.OPEN) return;
    const samples = block.byteLength / 2;
    if (this.socket.bufferedAmount > MOST_WAITING_S * this.context.sampleRate * 2) {
      this.lost += samples;
      return;
    }
    if (this.lost) {
      this.socket.send(JSON.stringify({type: "lost", samples: this.lost}));
      this.lost = 0;
    }
    this.socket.send(block);
  }

  stop(message = "") {
    if (this.over) return;
    this.over = true;
    this.release();
    this.ended(message);
  }

  release() {
    if (this.stream) for (const track of this.stream.getTracks()) track.stop();
    if (this.context && this.context.state !== "closed") this.context.close();
    if (this.socket) this.socket.close(1000);
  }
}

function explain(error) {
  if (error.name === "InsecureContext" || error.name === "SecurityError") {
    return "Browsers lend their microphone only to https pages and to localhost.";
  }
  if (error.name === "NotAllowedError") return "The browser did not allow its microphone.";
  if (error.name === "NotFoundError") return "This browser has no microphone.";
  if (error.name === "NotReadableError") return "The microphone is in use by another program.";
  return `The microphone cannot be used: ${error.message || error.name}`;
}
