// Dialogs: name of the reviewer, rename and merge, about the inspection, keys.

import { el, joined, named, toast } from "./dom.js";
import { record } from "./server.js";
import { nameOf, prefs, savePrefs, store } from "./store.js";

export const KEYS = [
  ["Verdict", [["1", "core: part of the class"], ["2", "separate object"], ["3", "background"], ["4", "concept absent: the pictures do not show it"], ["5", "not sure"], ["Shift+1 … 5", "confidence, guess to certain"], ["n", "note (Enter or Esc leaves it)"], ["u", "undo"], ["r", "redo"]]],
  ["Move", [["j  →", "next finding"], ["k  ←", "previous finding"], ["l", "go to the list (arrows, Enter)"], ["/", "search"], ["a", "auto-advance on or off"]]],
  ["Images", [["i", "go to the sample images (arrows)"], ["x", "mark the tag of the focused image wrong, or right again"], ["c", "I checked all of these"], ["o", "attribution on or off"]]],
  ["Page", [["b", "blind mode on or off"], ["e", "rename a concept"], ["m", "merge a concept into another"], ["?", "these keys"], ["Esc", "close"]]],
];

function dialog(title, body, { onClose, required } = {}) {
  const before = document.activeElement;
  const box = el("dialog", { "aria-labelledby": "dialog-title" },
    el("div", { class: "dialog-head" }, el("h2", { id: "dialog-title" }, title),
      required ? null : el("button", { type: "button", class: "quiet", "aria-label": "Close", on: { click: () => box.close() } }, "✕")),
    body);
  if (required) box.addEventListener("cancel", (event) => event.preventDefault());
  box.addEventListener("close", () => {
    box.remove();
    if (before?.isConnected) before.focus({ preventScroll: true });
    onClose?.();
  });
  document.body.append(box);
  box.showModal();
  return box;
}

export const dialogOpen = () => Boolean(document.querySelector("dialog[open]"));

/** Ask who reviews, once per browser; verdicts carry the name. */
export function askName({ required }) {
  return new Promise((done) => {
    const input = el("input", { id: "reviewer", type: "text", maxlength: "80", autocomplete: "name", value: prefs.reviewer, "aria-describedby": "reviewer-hint" });
    const submit = (event) => {
      event.preventDefault();
      const name = input.value.trim().replace(/\s+/gu, " ");
      if (!name) {
        input.setAttribute("aria-invalid", "true");
        input.focus();
        return;
      }
      prefs.reviewer = name;
      savePrefs();
      box.close();
    };
    const form = el("form", { class: "form", on: { submit } },
      el("label", { htmlFor: "reviewer" }, "Your name"), input,
      el("p", { id: "reviewer-hint", class: "soft small" }, "Stored with your verdicts in the run folder, so that several reviewers can be compared. Any name will do."),
      el("div", { class: "buttons" }, el("button", { type: "submit", class: "primary" }, "Start reviewing")));
    const box = dialog("Who is reviewing?", form, { required, onClose: () => done(prefs.reviewer) });
    input.select();
  });
}

function pickConcept(finding, id) {
  return el("select", { id }, finding.concepts.map((concept) => el("option", { value: concept }, nameOf(concept))));
}

export function renameDialog(finding) {
  const pick = pickConcept(finding, "rename-which");
  const input = el("input", { id: "rename-to", type: "text", maxlength: "300", value: nameOf(finding.concepts[0]), autocomplete: "off" });
  pick.addEventListener("change", () => { input.value = nameOf(pick.value); });
  const submit = (event) => {
    event.preventDefault();
    const name = input.value.trim();
    if (name && name !== nameOf(pick.value)) record("rename", { concept: target(pick.value), name });
    box.close();
  };
  const box = dialog("Rename a concept", el("form", { class: "form", on: { submit } },
    finding.concepts.length > 1 ? [el("label", { htmlFor: "rename-which" }, "Concept"), pick] : null,
    el("label", { htmlFor: "rename-to" }, "New name"), input,
    el("p", { class: "soft small" }, "It is shown everywhere; the name it was found under stays in the files."),
    el("div", { class: "buttons" }, el("button", { type: "submit", class: "primary" }, "Rename"))));
  input.select();
}

/** What a merged concept is shown as is renamed there. */
function target(concept) {
  const seen = new Set([concept]);
  let at = concept;
  while (Object.hasOwn(store.merged, at) && !seen.has(store.merged[at])) {
    at = store.merged[at];
    seen.add(at);
  }
  return at;
}

export function mergeDialog(finding) {
  const all = [...new Set(store.query.findings.flatMap((one) => one.concepts))].sort((a, b) => a.localeCompare(b));
  const pick = pickConcept(finding, "merge-which");
  const input = el("input", { id: "merge-into", type: "text", list: "merge-known", maxlength: "300", autocomplete: "off" });
  const warning = el("p", { class: "wrong small", role: "alert" });
  const submit = (event) => {
    event.preventDefault();
    const found = all.find((concept) => concept === input.value) ?? all.find((concept) => nameOf(concept) === input.value);
    if (found === undefined || (found === pick.value && !Object.hasOwn(store.merged, pick.value))) {
      warning.textContent = found === undefined ? "There is no such concept; choose one of the list." : "A concept cannot be merged into itself.";
      return;
    }
    record("merge", { concept: pick.value, name: found });
    box.close();
  };
  const box = dialog("Merge into another concept", el("form", { class: "form", on: { submit } },
    finding.concepts.length > 1 ? [el("label", { htmlFor: "merge-which" }, "Concept"), pick] : null,
    el("label", { htmlFor: "merge-into" }, "Is the same as"), input,
    el("datalist", { id: "merge-known" }, all.map((concept) => el("option", { value: concept }, nameOf(concept)))), warning,
    el("p", { class: "soft small" }, "Both are then shown under one name. Choose the concept itself to take a merge back."),
    el("div", { class: "buttons" }, el("button", { type: "submit", class: "primary" }, "Merge"))));
}

export function keysDialog(changedPrefs) {
  const box = el("input", { type: "checkbox", id: "single-keys", checked: prefs.singleKeys });
  box.addEventListener("change", () => {
    prefs.singleKeys = box.checked;
    changedPrefs();
  });
  dialog("Keys", el("div", {},
    el("div", { class: "key-columns" }, KEYS.map(([title, keys]) => el("section", {}, el("h3", {}, title), el("dl", { class: "keys" },
      keys.map(([key, what]) => el("div", {}, el("dt", {}, joined(key.split(/\s{2,}/).map((one) => el("kbd", {}, one)), " ")), el("dd", {}, what))))))),
    el("label", { class: "switch" }, box, " Single-key shortcuts (turn them off if they get in the way of speech input)"),
    el("p", { class: "soft small" }, "With auto-advance, set the confidence before the verdict.")));
}

const percent = (value) => (value === null ? "–" : `${Math.round(100 * value)} %`);

export function classTable() {
  return el("div", { class: "table", tabindex: "0", role: "region", "aria-label": "Classes" }, el("table", {},
    el("caption", {}, "What was looked at in each class"),
    el("thead", {}, el("tr", {}, ["Class", "Images", "Accuracy", "Concepts", "Tests", "Findings", "Smallest gap to be seen"].map((text, at) => el("th", { scope: "col", class: at ? "number" : null }, text)))),
    el("tbody", {}, store.query.classes.map((one) => el("tr", {},
      el("th", { scope: "row" }, named(one.name), one.note ? el("span", { class: "soft small block" }, one.note) : null),
      el("td", { class: "number" }, one.n.toLocaleString("en")),
      el("td", { class: "number" }, percent(one.accuracy), one.low === null ? null : el("span", { class: "soft small" }, ` [${percent(one.low)}, ${percent(one.high)}]`)),
      ...[one.concepts, one.tests, one.findings].map((value) => el("td", { class: "number" }, value.toLocaleString("en"))),
      el("td", { class: "number" }, one.smallest_detectable === null ? "–" : `${Math.round(100 * one.smallest_detectable)} points`))))));
}

export function aboutDialog() {
  const { query } = store;
  const line = (label, value) => (value ? el("div", {}, el("dt", {}, label), el("dd", {}, named(value))) : null);
  dialog("About this inspection", el("div", {},
    el("dl", { class: "facts plain" },
      line("Classifier", query.classifier), line("Images", query.image_set), line("Metric", query.metric),
      line("Taggers", query.taggers.join(", ")), line("Significant", `adjusted p at most ${query.alpha}`),
      line("Query", store.hash), store.damaged ? line("Damaged lines in the log", String(store.damaged)) : null),
    query.classes.length ? classTable() : null,
    query.notes.length ? [el("h3", {}, "Limits"), el("ul", { class: "notes" }, query.notes.map((note) => el("li", {}, named(note))))] : null,
    Object.keys(query.parameters).length ? el("details", {}, el("summary", {}, "Parameters and fingerprints"), el("pre", { tabindex: "0" }, JSON.stringify({ parameters: query.parameters, fingerprints: query.fingerprints }, null, 2))) : null));
}
