// The list of findings: filters, order, and rows that are made only when they come near.

import { add, byId, clear, el, joined, named, replace } from "./dom.js";
import { points } from "./plot.js";
import { SHORT, myAnswer, namesOf, store, veiled } from "./store.js";

const CHUNK = 80;
const rows = new Map();
let made = 0;
let watcher = null;
let open = () => {};

const lowerBound = (f) => {
  const { gap, low, high } = f.effect;
  if (gap === null || low === null || high === null) return -Infinity;
  return gap < 0 ? -high : low;
};
const orInfinity = (value) => (value === null ? Infinity : value);
const ORDERS = {
  "adjusted p": (a, b) => Boolean(b.cue) - Boolean(a.cue)
    || Boolean(a.explained_by?.length) - Boolean(b.explained_by?.length)
    || orInfinity(a.p_adjusted) - orInfinity(b.p_adjusted) || lowerBound(b) - lowerBound(a),
  "lower bound of the gap": (a, b) => lowerBound(b) - lowerBound(a) || 0,
  "size of the gap": (a, b) => Math.abs(b.effect.gap ?? 0) - Math.abs(a.effect.gap ?? 0),
  "class": (a, b) => a.class_name.localeCompare(b.class_name),
};
const SHUFFLED = (a, b) => (a.id < b.id ? -1 : 1);

function choices(select, pairs) {
  replace(select, pairs.map(([value, text]) => el("option", { value }, text)));
}

/** Fill the filters and watch them; `choose(id)` opens a finding. */
export function startList(choose) {
  open = choose;
  const classes = [...new Set(store.query.findings.map((f) => f.class_name))].sort((a, b) => a.localeCompare(b));
  choices(byId("by-class"), [["*", "all classes"], ...classes.map((c) => [`=${c}`, c || "(across classes)"])]);
  choices(byId("by-state"), [
    ["*", "all verdicts"], ["todo", "to do"], ["done", "judged by me"],
    ...store.verdicts.map((v) => [`=${v}`, v]), ["split", "reviewers disagree"],
  ]);
  choices(byId("by-kind"), [["*", "all kinds"], ["hidden", "one concept"], ["complex", "combination"], ["across", "across classes"], ...(store.query.findings.some((f) => f.cue) ? [["cue", "cue"]] : [])]);
  choices(byId("by-direction"), [["*", "both directions"], ["hurts", "▼ hurts"], ["helps", "▲ helps"], ["none", "undecided"]]);
  choices(byId("by-significance"), [["*", "any result"], ["yes", "significant"], ["no", "not significant"]]);
  choices(byId("by-order"), Object.keys(ORDERS).map((name) => [name, `by ${name}`]));
  for (const id of ["by-class", "by-state", "by-kind", "by-direction", "by-significance", "by-order"]) {
    byId(id).addEventListener("change", () => refreshList({ top: true }));
  }
  byId("search").addEventListener("input", () => refreshList({ top: true }));
  byId("list").addEventListener("keydown", moveInList);
}

/** Blind: what would give the answer away cannot be sorted or filtered by. */
export function veilFilters(blind) {
  for (const id of ["by-direction", "by-significance", "by-order"]) {
    byId(id).disabled = blind;
    byId(id).title = blind ? "Not in blind mode: it would give the answer away" : "";
  }
}

const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

function matching() {
  const value = (id) => byId(id).value;
  const words = plain(value("search")).split(/\s+/).filter(Boolean);
  const [cls, state, kind] = [value("by-class"), value("by-state"), value("by-kind")];
  const blind = byId("by-order").disabled;
  const direction = blind ? "*" : value("by-direction");
  const significance = blind ? "*" : value("by-significance");
  const kept = store.query.findings.filter((f) => {
    if (cls !== "*" && f.class_name !== cls.slice(1)) return false;
    if (kind !== "*" && f.kind !== kind) return false;
    if (direction !== "*" && f.direction !== direction) return false;
    if (significance !== "*" && f.significant !== (significance === "yes")) return false;
    if (!inState(f.id, state)) return false;
    if (!words.length) return true;
    const text = plain([f.class_name, ...f.concepts, ...namesOf(f)].join(" "));
    return words.every((word) => text.includes(word));
  });
  kept.sort(blind ? SHUFFLED : ORDERS[value("by-order")] || (() => 0));
  return kept.map((f) => f.id);
}

function inState(id, state) {
  if (state === "*") return true;
  const verdict = myAnswer(id).verdict;
  if (state === "todo") return !verdict;
  if (state === "done") return Boolean(verdict);
  if (state === "split") return store.info[id]?.decision === "split" && !veiled(id);
  return verdict === state.slice(1);
}

/** Filter and sort anew. The open finding stays in view even if a verdict took it out of the filter. */
export function refreshList({ top = false } = {}) {
  const before = store.visible;
  const next = matching();
  if (!top && store.current && !next.includes(store.current)) {
    const at = before.indexOf(store.current);
    if (at >= 0) next.splice(Math.min(at, next.length), 0, store.current);
  }
  store.visible = next;
  const total = store.findings.size;
  byId("shown").textContent = next.length === total
    ? `${total.toLocaleString("en")} finding${total === 1 ? "" : "s"}`
    : `${next.length.toLocaleString("en")} of ${total.toLocaleString("en")} findings`;
  if (before.length === next.length && before.every((id, at) => id === next[at]) && made) {
    updateRows();
    return;
  }
  rows.clear();
  made = 0;
  clear(byId("list"));
  grow(CHUNK);
  markCurrent();
  if (top) byId("list").scrollTop = 0;
}

function grow(wanted) {
  const list = byId("list");
  watcher?.disconnect();
  const until = Math.min(store.visible.length, Math.max(wanted, made));
  const fresh = [];
  for (; made < until; made++) fresh.push(makeRow(store.visible[made]));
  add(list, fresh);
  if (made < store.visible.length) {
    watcher ??= new IntersectionObserver((seen) => {
      if (seen.some((entry) => entry.isIntersecting)) grow(made + CHUNK);
    }, { root: null, rootMargin: "600px" });
    watcher.observe(list.lastElementChild);
  }
}

function makeRow(id) {
  const finding = store.findings.get(id);
  const button = el("button", { type: "button", class: "row", tabindex: "-1", "data-id": id, on: { click: () => open(id) } });
  const row = el("li", {}, button);
  rows.set(id, { button, key: "" });
  fillRow(id, finding);
  return row;
}

function fillRow(id) {
  const finding = store.findings.get(id);
  const { button } = rows.get(id);
  const answer = myAnswer(id);
  const hidden = veiled(id);
  const names = namesOf(finding);
  const key = JSON.stringify([answer.verdict, hidden, names]);
  if (rows.get(id).key === key) return;
  rows.get(id).key = key;
  const gap = finding.effect.gap;
  const size = gap === null ? "–" : points(gap);
  const arrow = { hurts: "▼", helps: "▲", none: "" }[finding.direction];
  button.classList.toggle("judged", Boolean(answer.verdict));
  replace(
    button,
    el("span", { class: "row-names" }, joined(names.map((name) => named(name)), el("span", { class: "soft" }, " + "))),
    hidden
      ? el("span", { class: "row-gap soft" }, "hidden")
      : el("span", { class: `row-gap ${finding.direction}` },
        el("span", { "aria-hidden": "true" }, arrow, " "), size, el("span", { class: "unseen" }, ` points, ${finding.direction}`)),
    el("span", { class: "row-class soft" }, finding.class_name ? named(finding.class_name) : finding.cue ? `cue of ${finding.cue.classes.length} classes` : "across classes"),
    el("span", { class: "row-state" }, answer.verdict
      ? el("span", { class: "chip done" }, "✓ ", SHORT[answer.verdict])
      : hidden || finding.significant ? null : el("span", { class: "soft" }, "n. s.")),
  );
}

export function updateRows() {
  for (const id of rows.keys()) fillRow(id);
  markCurrent();
}

export function markCurrent() {
  const at = store.visible.indexOf(store.current);
  if (at >= made) grow(at + CHUNK);
  for (const [id, { button }] of rows) {
    const here = id === store.current;
    if (here !== button.hasAttribute("aria-current")) {
      if (here) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
    button.tabIndex = here ? 0 : -1;
  }
  const shown = rows.get(store.current)?.button;
  if (!shown && made) rows.get(store.visible[0]).button.tabIndex = 0;
  if (shown && byId("panel").offsetParent !== null) shown.scrollIntoView({ block: "nearest" });
}

function moveInList(event) {
  const id = event.target.closest?.("[data-id]")?.dataset.id;
  const at = store.visible.indexOf(id);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: store.visible.length - 1 }[event.key];
  if (at < 0 || to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  event.stopPropagation();
  const target = store.visible[Math.max(0, Math.min(to, store.visible.length - 1))];
  open(target, { keepList: true });
  rows.get(target)?.button.focus();
}

export const focusList = () => (rows.get(store.current)?.button || byId("search")).focus();

/** The finding `steps` away in the list as it is shown; null at its ends. */
export function neighbour(steps) {
  const at = store.visible.indexOf(store.current);
  return store.visible[at + steps] ?? null;
}

/** The next finding without a verdict, after the open one and round again; null if none is left. */
export function nextToDo() {
  const at = store.visible.indexOf(store.current);
  const round = [...store.visible.slice(at + 1), ...store.visible.slice(0, Math.max(at, 0))];
  return round.find((id) => !myAnswer(id).verdict) ?? null;
}
