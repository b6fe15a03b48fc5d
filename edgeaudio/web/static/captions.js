// The text. Committed words are only ever appended; only the tail after them is rewritten. The view scrolls
// forwards only: below the last line there is always room, so a tail that shrinks moves nothing.

const KEPT = 200;            // paragraphs
const SPOKEN_KEPT = 20;      // entries of the live region
const SPEAK_AFTER_MS = 1500; // a screen reader gets words in groups, not one by one
const NEAR_END_PX = 40;
const QUIET_AFTER_MS = 6000;

export class Captions {
  constructor({view, spoken, newest, overlay}) {
    this.view = view;
    this.spoken = spoken;
    this.newest = newest;
    this.overlay = overlay;
    this.paragraphs = new Map();
    this.following = true;
    this.aimed = 0;
    this.unspoken = [];
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    this.clear();
    // Only people scroll with these; our own scrolling sends "scroll" alone.
    for (const kind of ["wheel", "touchmove", "keydown"]) {
      view.addEventListener(kind, () => requestAnimationFrame(() => this.lookWhereWeAre()), {passive: true});
    }
    view.addEventListener("scrollend", () => this.lookWhereWeAre(true));
    view.addEventListener("pointerup", () => this.lookWhereWeAre());
    newest.addEventListener("click", () => this.follow(true));
    new ResizeObserver(() => { this.aimed = 0; this.scroll("instant"); }).observe(view);
  }

  clear() {
    this.paragraphs.clear();
    this.view.replaceChildren();
    this.hint = document.createElement("p");
    this.hint.className = "empty";
    this.hint.textContent = "What is said appears here.";
    this.view.append(this.hint);
    this.aimed = 0;
  }

  // Show the newest form of a caption. `silently` is for what was said before we came.
  show(caption, silently = false) {
    const key = `${caption.model}/${caption.caption_id}`;
    let entry = this.paragraphs.get(key);
    if (!entry) {
      if (caption.final && !caption.words.length) return;
      entry = this.append(key);
    }
    const fresh = caption.words.slice(entry.words).map(word => word.text);
    if (fresh.length) {
      // A text node of its own: what stands there already is not touched.
      entry.committed.append((entry.words ? " " : "") + fresh.join(" "));
      entry.words = caption.words.length;
      if (!silently) this.speak(fresh, caption.final);
    } else if (caption.final) {
      this.speak([], true);
    }
    const tail = caption.tentative ? (entry.words ? " " : "") + caption.tentative : "";
    if (entry.tentative.textContent !== tail) entry.tentative.textContent = tail;
    if (caption.final) {
      entry.tentative.remove();
      entry.paragraph.normalize();
      if (!entry.words) this.remove(key);
    }
    if (this.overlay) this.stayAwhile();
    this.scroll(silently ? "instant" : "smooth");
  }

  append(key) {
    this.hint.remove();
    const paragraph = document.createElement("p");
    const committed = document.createElement("span");
    const tentative = document.createElement("span");
    tentative.className = "tentative";
    tentative.setAttribute("aria-hidden", "true");
    paragraph.append(committed, tentative);
    this.view.append(paragraph);
    const entry = {paragraph, committed, tentative, words: 0};
    this.paragraphs.set(key, entry);
    if (this.paragraphs.size > KEPT) this.remove(this.paragraphs.keys().next().value);
    return entry;
  }

  remove(key) {
    const {paragraph} = this.paragraphs.get(key);
    const before = this.view.scrollHeight;
    const above = paragraph.offsetTop < this.view.scrollTop;
    paragraph.remove();
    this.paragraphs.delete(key);
    const gone = above ? before - this.view.scrollHeight : 0;
    if (gone) {
      this.aimed = Math.max(0, this.aimed - gone);
      this.view.scrollTo({top: this.view.scrollTop - gone, behavior: "instant"});
    }
  }

  // Where the last line is fully in view.
  wanted() {
    const last = this.view.lastElementChild;
    if (!last) return 0;
    const bottom = last.getBoundingClientRect().bottom - this.view.getBoundingClientRect().top + this.view.scrollTop;
    const room = this.overlay ? 0 : Math.min(48, this.view.clientHeight / 8);
    return Math.max(0, Math.ceil(bottom + room - this.view.clientHeight));
  }

  scroll(behavior) {
    if (!this.following) return;
    const wanted = this.wanted();
    if (wanted <= this.aimed) return;
    this.aimed = wanted;
    this.view.scrollTo({top: wanted, behavior: this.calm.matches ? "instant" : behavior});
  }

  lookWhereWeAre(ended = false) {
    if (this.overlay) return;
    const atEnd = this.view.scrollTop >= this.wanted() - NEAR_END_PX;
    if (ended && !atEnd && this.following) return;  // our own scroll, overtaken by new text
    this.follow(atEnd);
  }

  follow(on) {
    if (on === this.following) return;
    this.following = on;
    this.newest.hidden = on;
    if (on) {
      this.aimed = 0;
      this.scroll("smooth");
    }
  }

  // The live region gets committed words only, in groups.
  speak(words, now) {
    this.unspoken.push(...words);
    clearTimeout(this.speaking);
    if (!this.unspoken.length) return;
    const say = () => {
      const line = document.createElement("p");
      line.textContent = this.unspoken.join(" ");
      this.unspoken = [];
      this.spoken.append(line);
      while (this.spoken.childElementCount > SPOKEN_KEPT) this.spoken.firstElementChild.remove();
    };
    if (now) say();
    else this.speaking = setTimeout(say, SPEAK_AFTER_MS);
  }

  stayAwhile() {
    const root = document.documentElement;
    root.classList.remove("quiet");
    clearTimeout(this.quieting);
    this.quieting = setTimeout(() => root.classList.add("quiet"), QUIET_AFTER_MS);
  }
}
