// What the page knows: the query, the reviewer's own events, and what the server says of the rest.
//
// The reviewer's events are folded here by the same rule as on the server, so that an act shows at
// once, also while the connection is lost.

export const store = {
  hash: "", verdicts: [], query: null, words: {}, findings: new Map(), position: new Map(),
  revision: 0, events: [], pending: [], info: {}, names: {}, merged: {}, renamed: {},
  agreement: null, reviewers: [], damaged: 0, current: null, visible: [],
};

const PREFS = "sundog review preferences";
export const prefs = Object.assign(
  { reviewer: "", blind: false, auto: true, overlay: false, singleKeys: true },
  read(PREFS, {}),
);

function read(key, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

export function savePrefs() {
  try {
    localStorage.setItem(PREFS, JSON.stringify(prefs));
  } catch { /* private window: preferences last as long as the page */ }
}

const listeners = [];
export const onChange = (run) => listeners.push(run);
export function changed() {
  folded = null;
  for (const run of listeners) run();
}

export function loadQuery(data) {
  store.hash = data.hash;
  store.verdicts = data.verdicts;
  store.query = data.query;
  store.words = data.words;
  store.findings = new Map(data.query.findings.map((finding) => [finding.id, finding]));
  store.position = new Map(data.query.findings.map((finding, index) => [finding.id, index]));
}

export function applyState(state) {
  if (state.unchanged) return false;
  if (state.fresh) {
    store.events = [];
    store.info = {};
  }
  store.events.push(...state.mine);
  Object.assign(store.info, state.findings);
  store.revision = state.revision;
  store.names = state.names;
  store.merged = state.merged;
  store.renamed = state.words;
  store.agreement = state.agreement;
  store.reviewers = state.reviewers;
  store.damaged = state.damaged;
  return true;
}

const BLANK = Object.freeze({
  verdict: null, confidence: null, note: "", blind: false, wrong: new Set(), checked: false,
});

let folded = null;

/** Fold the reviewer's events: answers by finding, what undo takes back, what redo brings back. */
export function fold() {
  if (folded) return folded;
  const known = new Set(store.events.map((event) => event.id));
  const mine = store.pending.filter((event) => event.reviewer === prefs.reviewer && !known.has(event.id));
  const all = [...store.events, ...mine];
  const undone = new Set();
  for (let at = all.length - 1; at >= 0; at--) {
    if (all[at].action === "undo" && !undone.has(all[at].id)) undone.add(all[at].undoes);
  }
  const answers = new Map();
  const acts = new Map();
  let lastAct = null;
  let redo = null;
  for (const event of all) {
    if (event.action !== "undo") {
      acts.set(event.id, event);
      redo = null;
      if (!undone.has(event.id)) {
        lastAct = event;
        if (event.finding) answers.set(event.finding, answered(answers.get(event.finding), event));
      }
    } else if (!undone.has(event.id) && acts.has(event.undoes)) {
      redo = event;
    }
  }
  folded = { answers, lastAct, redo, acts };
  return folded;
}

function answered(before, event) {
  const answer = { ...(before || BLANK) };
  if (event.action === "verdict") {
    answer.verdict = event.verdict;
    answer.confidence = event.confidence ?? null;
    answer.note = event.note ?? "";
    answer.blind = Boolean(event.blind);
  } else if (event.action === "tags checked") {
    answer.checked = true;
  } else if (event.image) {
    answer.wrong = new Set(answer.wrong);
    if (event.action === "tag wrong") answer.wrong.add(event.image);
    else answer.wrong.delete(event.image);
  }
  return answer;
}

export const myAnswer = (id) => fold().answers.get(id) || BLANK;

/** Names after merging and renaming; unsent renames show at once. */
export function nameOf(concept) {
  const names = { ...store.names };
  const merged = { ...store.merged };
  for (const event of store.pending) {
    if (event.action === "rename") names[event.concept] = event.name;
    if (event.action === "merge") merged[event.concept] = event.name;
  }
  const seen = new Set([concept]);
  let at = concept;
  while (Object.hasOwn(merged, at) && !seen.has(merged[at])) {
    at = merged[at];
    seen.add(at);
  }
  return Object.hasOwn(names, at) ? names[at] : at;
}

export const namesOf = (finding) => finding.concepts.map(nameOf);

/** Whether gap, p and direction are hidden: blind, and this reviewer has not judged yet. */
export const veiled = (id) => prefs.blind && !myAnswer(id).verdict;

export const judgedCount = () => {
  let found = 0;
  for (const id of store.findings.keys()) if (myAnswer(id).verdict) found++;
  return found;
};

export const wordsOf = (id) => ({ ...store.words[id], ...(store.renamed[id] || {}) });

export const SHORT = {
  core: "core", "separate object": "object", background: "background",
  "concept absent": "absent", "not sure": "not sure",
};
