// In the audio thread: gathers 80 ms and hands them over as 16-bit samples.

class Recorder extends AudioWorkletProcessor {
  constructor() {
    super();
    this.size = Math.round(sampleRate * 0.08);
    this.renew();
  }

  renew() {
    this.block = new Int16Array(this.size);  // the last one belongs to the page's thread now
    this.filled = 0;
  }

  process([input]) {
    if (!input.length) return true;
    const gain = 1 / input.length;
    for (let i = 0; i < input[0].length; i++) {
      let sample = 0;
      for (const channel of input) sample += channel[i];
      this.block[this.filled++] = Math.max(-32768, Math.min(32767, Math.round(sample * gain * 32768)));
      if (this.filled === this.size) {
        this.port.postMessage(this.block.buffer, [this.block.buffer]);
        this.renew();
      }
    }
    return true;
  }
}

registerProcessor("recorder", Recorder);
