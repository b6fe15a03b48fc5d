// Connects the parts: one websocket brings everything, a second one takes this browser's microphone.

import {Captions} from "./captions.js";
import {Microphone} from "./microphone.js";
import {Spectrum} from "./spectrum.js";

const FIRST_RETRY_MS = 500, LAST_RETRY_MS = 10000;
const NOTICE_MS = 8000;

const $ = id => document.getElementById(id);
const query = new URLSearchParams(location.search);
const overlay = query.has("overlay");
const token = query.get("token");
document.documentElement.classList.toggle("overlay", overlay);

const captions = new Captions({view: $("captions"), spoken: $("spoken"), newest: $("newest"), overlay});
const spectrum = new Spectrum({canvas: $("spectrum"), meter: $("level"), bar: $("bar")});
if (overlay) $("captions").tabIndex = -1;

let socket = null;
let session = null;
let retryMs = FIRST_RETRY_MS;
let input = {listening: null, choices: [], message: ""};
let microphone = null;
let notice = "";
let connected = false;

function address(path, parameters = {}) {
  const url = new URL(path, location.href);
  url.search = "";
  if (token) url.searchParams.set("token", token);
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  return url;
}

function socketAddress(path, parameters) {
  const url = address(path, parameters);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url;
}

for (const link of document.querySelectorAll(".save")) link.href = address(link.getAttribute("href"));

// The connection.

function connect() {
  socket = new WebSocket(socketAddress("live", overlay ? {spectrum: "0"} : {}));
  socket.binaryType = "arraybuffer";
  socket.addEventListener("message", event => {
    if (event.data instanceof ArrayBuffer) spectrum.draw(event.data);
    else take(JSON.parse(event.data));
  });
  socket.addEventListener("close", event => {
    connected = false;
    showInput();
    retry(event);
  });
}

async function retry(event) {
  let reason = event.reason ? `${event.reason}. ` : "";
  try {  // a refused websocket does not tell its page why; a refused page does
    const answer = await fetch(address("."), {method: "HEAD", cache: "no-store"});
    if (answer.status === 401) reason = "The token is not valid any more: open the address that edgeaudio printed. ";
  } catch { /* the server is away */ }
  status(`${reason}Not connected; trying again …`, true);
  setTimeout(connect, retryMs * (0.75 + Math.random() / 2));
  retryMs = Math.min(LAST_RETRY_MS, retryMs * 2);
}

// What comes.

function take(message) {
  if (message.type === "caption") captions.show(message);
  else if (message.type === "input") takeInput(message);
  else if (message.type === "state") takeState(message);
  else remark(message);
}

function takeState(state) {
  connected = true;
  retryMs = FIRST_RETRY_MS;
  if (session !== null && session !== state.session) captions.clear();  // another run of the server
  session = state.session;
  spectrum.describe(overlay ? null : state.spectrum);
  for (const caption of state.captions) captions.show(caption, true);
  takeInput(state.input);
}

function takeInput(facts) {
  input = facts;
  showInput();
}

const REMARKS = {
  gap: event => event.cause === "paused" ? "" : event.cause === "consumer_lag"
    ? `The server is too slow: ${event.n_samples / event.sample_rate_hz} s were left out.` : "Some audio was lost.",
  device_lost: event => `The microphone ${event.device} is gone; trying to open it again.`,
  device_restored: event => `The microphone ${event.device} is back.`,
  digital_silence: event => event.ended ? "" : "Only silence comes in: is the microphone muted?",
  clipping: () => "Too loud: turn the microphone down.",
};

function remark(event) {
  const text = event.type in REMARKS ? REMARKS[event.type](event) : "";
  if (!text) return;
  notice = text;
  showInput();
  setTimeout(() => { if (notice === text) { notice = ""; showInput(); } }, NOTICE_MS);
}

function status(text, trouble = false) {
  const place = $("status");
  if (place.textContent !== text) place.textContent = text;
  place.classList.toggle("trouble", trouble);
}

// The controls.

function showInput() {
  const listening = input.listening !== null;
  const toggle = $("toggle"), choice = $("input");
  const switchable = connected && input.choices.length > 0;
  toggle.disabled = !switchable;
  toggle.textContent = listening || microphone ? "Stop" : "Start";
  choice.disabled = !switchable;
  choice.options[0].textContent = input.server ? `the server: ${input.server}` : "the server";
  for (const option of choice.options) option.disabled = !input.choices.includes(option.value);
  if (!input.choices.includes(choice.value) && input.choices.length) choice.value = input.choices[0];
  $("controls").classList.toggle("fixed", !input.choices.length);
  if (!connected) return;
  if (notice) status(notice, true);
  else if (microphone && input.listening === "browser") status("Listening to this browser's microphone");
  else if (microphone) status("Opening this browser's microphone …");
  else if (listening) status(`Listening to ${input.name}`);
  else status(input.message ? `Not listening: ${input.message}` : "Not listening", Boolean(input.message));
}

function say(command) {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({type: command}));
}

function start() {
  if ($("input").value === "server") {
    say("start");
    return;
  }
  microphone = new Microphone(parameters => socketAddress("microphone", parameters), message => {
    microphone = null;
    if (message && message !== "somebody chose another input.") { notice = message; setTimeout(() => { notice = ""; showInput(); }, NOTICE_MS); }
    showInput();
  });
  showInput();
  microphone.start();
}

$("toggle").addEventListener("click", () => {
  notice = "";
  if (microphone) microphone.stop();
  else if (input.listening !== null) say("stop");
  else start();
});

// Choosing another input while listening changes over at once.
$("input").addEventListener("change", () => {
  const wanted = $("input").value;
  if (microphone && wanted === "server") { microphone.stop(); say("start"); }
  else if (!microphone && input.listening !== null && wanted !== input.listening) start();
});

connect();
