// The engine's own mel columns, as they come, and the level. A binary message is a uint32 (index of its first
// column), a float32 (level in dBFS) and the columns, one byte a band.

const FLOOR_DBFS = -60;
const QUIET_SPAN = 96;  // bytes: 30 dB of contrast at least

export class Spectrum {
  constructor({canvas, meter, bar}) {
    this.canvas = canvas;
    this.meter = meter;
    this.bar = bar;
    this.brush = canvas.getContext("2d", {alpha: false});
    this.palette = palette();
    this.next = null;
    this.low = 40;
    this.high = 140;
  }

  describe(facts) {
    this.canvas.hidden = !facts;
    this.next = null;
    if (facts && facts.bands !== this.canvas.height) this.canvas.height = facts.bands;
    this.bands = facts ? facts.bands : 0;
  }

  draw(buffer) {
    const head = new DataView(buffer);
    const first = head.getUint32(0, true);
    this.showLevel(head.getFloat32(4, true));
    const columns = new Uint8Array(buffer, 8);
    const n = Math.floor(columns.length / (this.bands || 1));
    if (!n || this.canvas.hidden) return;
    const width = this.canvas.width;
    const missing = this.next === null ? 0 : Math.min(width, Math.max(0, first - this.next));
    this.next = first + n;
    const moved = Math.min(width, n + missing);
    this.brush.drawImage(this.canvas, -moved, 0);
    this.brush.fillStyle = "#05060a";
    this.brush.fillRect(width - moved, 0, moved, this.bands);
    const image = this.brush.createImageData(n, this.bands);
    const pixels = new Uint32Array(image.data.buffer);
    for (let x = 0; x < n; x++) {
      const column = columns.subarray(x * this.bands, (x + 1) * this.bands);
      this.adapt(column);
      const scale = 255 / Math.max(QUIET_SPAN, this.high - this.low);
      for (let band = 0; band < this.bands; band++) {
        const shade = Math.max(0, Math.min(255, Math.round((column[band] - this.low) * scale)));
        pixels[(this.bands - 1 - band) * n + x] = this.palette[shade];
      }
    }
    this.brush.putImageData(image, width - n, 0);
  }

  // Follow the quietest and the loudest bands slowly, so that a quiet microphone is drawn, too.
  adapt(column) {
    let sum = 0, highest = 0;
    for (const value of column) { sum += value; if (value > highest) highest = value; }
    const mean = sum / column.length;
    this.low += (mean < this.low ? 0.05 : 0.002) * (mean - this.low);
    this.high += (highest > this.high ? 0.2 : 0.002) * (highest - this.high);
  }

  showLevel(dbfs) {
    const level = Math.max(FLOOR_DBFS, Math.min(0, dbfs));
    this.bar.style.transform = `scaleY(${1 - level / FLOOR_DBFS})`;
    this.meter.classList.toggle("loud", level > -6);
    const now = performance.now();
    if (now - (this.said || 0) > 2000) {  // a screen reader may ask, and is not told all the time
      this.said = now;
      this.meter.setAttribute("aria-valuenow", String(Math.round(level)));
      this.meter.setAttribute("aria-valuetext", `${Math.round(level)} dBFS`);
    }
  }
}

// From nearly black over blue and orange to nearly white, with rising lightness.
function palette() {
  const stops = [[5, 6, 10], [26, 42, 94], [110, 52, 120], [214, 90, 70], [250, 175, 80], [255, 250, 220]];
  const colours = new Uint32Array(256);
  const bytes = new Uint8Array(colours.buffer);
  for (let i = 0; i < 256; i++) {
    const place = i / 255 * (stops.length - 1);
    const stop = Math.min(stops.length - 2, Math.floor(place));
    for (let c = 0; c < 3; c++) {
      bytes[4 * i + c] = stops[stop][c] + (place - stop) * (stops[stop + 1][c] - stops[stop][c]);
    }
    bytes[4 * i + 3] = 255;
  }
  return colours;
}
