// The verdict: five buttons, confidence, note, undo and redo, and on to the next finding.

import { byId, el, replace, say, toast } from "./dom.js";
import { nextToDo, neighbour } from "./list.js";
import { record } from "./server.js";
import { fold, myAnswer, prefs, store } from "./store.js";

const MEANING = {
  core: "part of the class", "separate object": "some other thing",
  background: "the surroundings", "concept absent": "it is not in the pictures", "not sure": "cannot tell",
};
const SURE = ["guess", "unsure", "fairly sure", "sure", "certain"];
const PAUSE = 400;

const drafts = new Map();
let open = () => {};
let advance = 0;
let watch = { id: null, seconds: 0, since: 0 };

export function startDock(choose) {
  open = choose;
  replace(byId("verdicts"), store.verdicts.map((verdict, at) =>
    el("button", { type: "button", class: "verdict", "data-verdict": verdict, "aria-pressed": "false", "aria-keyshortcuts": String(at + 1), title: MEANING[verdict], on: { click: () => giveVerdict(verdict) } },
      el("kbd", { "aria-hidden": "true" }, String(at + 1)), el("span", { class: "word" }, verdict[0].toUpperCase() + verdict.slice(1)), el("span", { class: "meaning soft" }, MEANING[verdict]))));
  replace(byId("sure"), SURE.map((word, at) =>
    el("button", { type: "button", "aria-pressed": "false", "data-sure": String(at + 1), title: `${word} (Shift+${at + 1})`, "aria-label": `Confidence ${at + 1}, ${word}`, on: { click: () => giveConfidence(at + 1) } }, String(at + 1))));
  byId("undo").addEventListener("click", undo);
  byId("redo").addEventListener("click", redo);
  byId("previous").addEventListener("click", () => move(-1));
  byId("next").addEventListener("click", () => move(1));
  const note = byId("note");
  note.addEventListener("input", () => {
    draft().note = note.value;
    fit(note);
  });
  note.addEventListener("change", () => saveNote());
  note.addEventListener("keydown", (event) => {
    if (event.key === "Escape" || (event.key === "Enter" && !event.shiftKey)) {
      event.preventDefault();
      note.blur();
      byId("finding").focus({ preventScroll: true });
    }
  });
  document.addEventListener("visibilitychange", tick);
}

function fit(note) {
  note.style.height = "auto";
  note.style.height = `${Math.min(note.scrollHeight + 2, 120)}px`;
}

const draft = () => {
  if (!drafts.has(store.current)) drafts.set(store.current, {});
  return drafts.get(store.current);
};

/** What the controls show: the draft where there is one, else the answer. */
function shown() {
  const answer = myAnswer(store.current);
  const { note, confidence } = drafts.get(store.current) || {};
  return { verdict: answer.verdict, note: note ?? answer.note, confidence: confidence ?? answer.confidence };
}

function tick() {
  const now = performance.now();
  if (watch.since) watch.seconds += (now - watch.since) / 1000;
  watch.since = document.hidden ? 0 : now;
}

export function enterFinding(id) {
  clearTimeout(advance);
  tick();
  watch = { id, seconds: 0, since: document.hidden ? 0 : performance.now() };
  updateDock();
}

/** Leave a finding: a note typed for a judged one is saved; one without a verdict stays a draft. */
export function leaveFinding() {
  if (store.current && document.activeElement === byId("note")) byId("note").blur();
  else if (store.current) saveNote();
}

export function updateDock() {
  byId("dock").hidden = !store.current;
  if (!store.current) return;
  const now = shown();
  for (const button of byId("verdicts").children) button.setAttribute("aria-pressed", String(button.dataset.verdict === now.verdict));
  for (const button of byId("sure").children) button.setAttribute("aria-pressed", String(Number(button.dataset.sure) === now.confidence));
  const note = byId("note");
  if (document.activeElement !== note && note.value !== now.note) {
    note.value = now.note;
    fit(note);
  }
  const { lastAct, redo: again } = fold();
  byId("undo").disabled = !lastAct;
  byId("redo").disabled = !again;
  byId("previous").disabled = !neighbour(-1);
  byId("next").disabled = !neighbour(1);
}

function send(verdict) {
  const id = store.current;
  const before = myAnswer(id);
  const { note, confidence } = shown();
  tick();
  const fields = { finding: id, verdict, seconds: Math.min(86400, Math.round(10 * watch.seconds) / 10), blind: before.verdict ? before.blind : prefs.blind };
  if (confidence) fields.confidence = confidence;
  if (note.trim()) fields.note = note;
  drafts.delete(id);
  record("verdict", fields);
}

export function giveVerdict(verdict) {
  if (!store.current) return;
  send(verdict);
  say(`Verdict: ${verdict}.`);
  clearTimeout(advance);
  if (!prefs.auto) return;
  advance = setTimeout(() => {
    const next = nextToDo();
    if (next) open(next);
    else toast(store.visible.length === store.findings.size ? "That was the last one. All findings are judged." : "All findings of this list are judged.");
  }, PAUSE);
}

export function giveConfidence(value) {
  if (!store.current) return;
  clearTimeout(advance);
  draft().confidence = value;
  const { verdict } = myAnswer(store.current);
  if (verdict) send(verdict);
  else updateDock();
  say(`Confidence ${value}, ${SURE[value - 1]}.`);
}

function saveNote() {
  const typed = drafts.get(store.current)?.note;
  const answer = myAnswer(store.current);
  if (typed !== undefined && answer.verdict && typed !== answer.note) send(answer.verdict);
}

export function undo() {
  clearTimeout(advance);
  const { lastAct } = fold();
  if (!lastAct) {
    toast("Nothing to undo.");
    return;
  }
  drafts.delete(lastAct.finding);
  record("undo", { undoes: lastAct.id });
  report("Undone", lastAct);
}

export function redo() {
  clearTimeout(advance);
  const { redo: last, acts } = fold();
  if (!last) {
    toast("Nothing to redo.");
    return;
  }
  const act = acts.get(last.undoes);
  drafts.delete(act.finding);
  record("undo", { undoes: last.id });
  report("Done again", act);
}

function report(word, act) {
  const what = { verdict: `verdict “${act.verdict}”`, "tag wrong": "tag marked wrong", "tag right": "tag marked right", "tags checked": "all images checked", rename: `renamed to “${act.name}”`, merge: `merged into “${act.name}”` }[act.action];
  toast(`${word}: ${what}.`);
  if (act.finding && act.finding !== store.current) open(act.finding);
}

export function move(steps) {
  clearTimeout(advance);
  const to = neighbour(steps);
  if (to) open(to);
  else toast(steps > 0 ? "This is the last finding of the list." : "This is the first finding of the list.");
}
