// Talking to the server: one request at a time; what could not be sent waits in this browser.

import { el, byId, clear, add, toast } from "./dom.js";
import { applyState, changed, prefs, store } from "./store.js";

const POLL_SECONDS = 4;
const BATCH = 50;
const BATCH_BYTES = 48_000;

class Unreachable extends Error {}
class Broken extends Unreachable {}
class Locked extends Error {}
class Refused extends Error {}

async function call(path, body) {
  const options = { credentials: "same-origin", headers: {} };
  if (body !== undefined) {
    options.method = "POST";
    options.headers["content-type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    throw new Unreachable(String(error));
  }
  if (answer.status === 204) return null;
  const value = await answer.json().catch(() => ({}));
  if (answer.ok) return value;
  if (answer.status === 401) throw new Locked(value.error);
  if (answer.status >= 500 || answer.status === 408) throw new Broken(value.error || `status ${answer.status}`);
  throw new Refused(value.error || `status ${answer.status}`);
}

/** Show the token of the link, once; afterwards the address bar no longer has it. */
export async function openSession() {
  const found = /^#token=([\w-]+)$/.exec(location.hash);
  if (!found) return;
  history.replaceState(null, "", location.pathname);
  await call("/api/session", { token: found[1] });
}

export const fetchQuery = () => call("/api/query");
export const isLocked = (error) => error instanceof Locked;

let queue = Promise.resolve();
const inTurn = (run) => (queue = queue.then(run, run));

export function loadState() {
  store.revision = 0;
  return inTurn(pull);
}

async function pull() {
  const reviewer = encodeURIComponent(prefs.reviewer);
  const state = await call(`/api/state?reviewer=${reviewer}&since=${store.revision}`);
  if (applyState(state)) changed();
}

/** Fetch the tag check of one finding if the state only said that there is one. */
export async function fetchEstimate(id) {
  if (!store.info[id]?.tags_later) return;
  store.info[id].tags_later = false;
  try {
    const found = await call(`/api/estimate?finding=${encodeURIComponent(id)}`);
    if (store.info[id].tags === undefined) Object.assign(store.info[id], found);
    changed();
  } catch {
    store.info[id].tags_later = true;
  }
}

// The outbox: one entry per event, so that several tabs can share it; sending twice does no harm.
const prefix = () => `sundog unsent ${store.hash} `;
let sequence = 0;

export function recoverPending() {
  try {
    const keys = Object.keys(localStorage).filter((key) => key.startsWith(prefix())).sort();
    const known = new Set(store.pending.map((event) => event.id));
    for (const key of keys) {
      const event = JSON.parse(localStorage.getItem(key));
      if (event && event.query === store.hash && !known.has(event.id)) store.pending.push(event);
    }
  } catch { /* no storage: only this page's own events are kept, in memory */ }
}

function keep(event) {
  store.pending.push(event);
  const order = `${Date.now().toString(36).padStart(10, "0")}${(sequence++).toString(36).padStart(4, "0")}`;
  try {
    localStorage.setItem(`${prefix()}${order} ${event.id}`, JSON.stringify(event));
  } catch { /* full or forbidden: memory has it */ }
}

function forget(ids) {
  const done = new Set(ids);
  store.pending = store.pending.filter((event) => !done.has(event.id));
  try {
    for (const key of Object.keys(localStorage)) {
      if (key.startsWith(prefix()) && done.has(key.slice(key.lastIndexOf(" ") + 1))) localStorage.removeItem(key);
    }
  } catch { /* nothing was stored */ }
}

function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Record one act of the reviewer: shown at once, saved as soon as the server answers. */
export function record(action, fields) {
  const event = {
    id: newId(), query: store.hash, time: new Date().toISOString(), reviewer: prefs.reviewer, action, ...fields,
  };
  keep(event);
  changed();
  flush();
  return event;
}

export const flush = () => inTurn(push).catch(() => {});

async function push() {
  while (store.pending.length) {
    let batch = [];
    let size = 0;
    for (const event of store.pending.slice(0, BATCH)) {
      size += new TextEncoder().encode(JSON.stringify(event)).length;
      if (batch.length && size > BATCH_BYTES) break;
      batch.push(event);
    }
    try {
      await deliver(batch);
    } catch (error) {
      if (error instanceof Refused) {
        for (const event of batch) {
          try {
            await deliver([event]);
          } catch (single) {
            if (!(single instanceof Refused)) throw lost(single);
            forget([event.id]);
            toast(`Not saved: ${single.message}`, 10);
          }
        }
      } else {
        throw lost(error);
      }
    }
    found();
  }
}

async function deliver(batch) {
  const body = { reviewer: prefs.reviewer, since: store.revision, events: batch };
  const answer = await call("/api/events", body);
  forget([...answer.saved, ...Object.keys(answer.refused)]);
  const reasons = Object.values(answer.refused);
  if (reasons.length) {
    forget(batch.map((event) => event.id));
    toast(`Not saved: ${reasons[0]}${reasons.length > 1 ? ` (and ${reasons.length - 1} more)` : ""}`, 10);
  }
  applyState(answer.state);
  changed();
}

let trouble = null;

function lost(error) {
  trouble = error;
  showBanner();
  return error;
}

function found() {
  if (!trouble) return;
  trouble = null;
  showBanner();
  toast("Connected again; everything is saved.");
  document.dispatchEvent(new Event("reconnected"));
}

export function showBanner() {
  const banner = byId("banner");
  banner.hidden = !trouble;
  clear(banner);
  if (!trouble) return;
  const waiting = store.pending.length;
  const what = isLocked(trouble)
    ? "This page is no longer signed in: the server was started again. Open the link it printed, in this browser."
    : trouble instanceof Broken ? `The server could not save: ${trouble.message}`
    : "The connection to the server is lost. Go on if you like; start it again with the same command.";
  add(banner, [el("strong", {}, what), " "]);
  if (waiting) {
    add(banner, [
      `${waiting} unsaved ${waiting === 1 ? "act is" : "acts are"} kept in this browser and sent when it is back. `,
      el("button", { type: "button", class: "quiet", on: { click: saveUnsent } }, "Save them to a file"),
    ]);
  }
}

function saveUnsent() {
  const lines = store.pending.map((event) => JSON.stringify(event)).join("\n");
  const link = el("a", {
    href: URL.createObjectURL(new Blob([lines, "\n"], { type: "application/jsonl" })),
    download: "unsent-events.jsonl",
  });
  link.click();
}

/** Look for other reviewers' verdicts, and whether the server is there. */
export function startPolling() {
  const look = async () => {
    if (!document.hidden) {
      try {
        await inTurn(store.pending.length ? push : pull);
        if (!store.pending.length) found();
      } catch (error) {
        if (error instanceof Unreachable || error instanceof Locked) lost(error);
      }
    }
    setTimeout(look, 1000 * POLL_SECONDS);
  };
  setTimeout(look, 1000 * POLL_SECONDS);
  addEventListener("online", () => flush());
}
