// One finding in focus: the claim, the gap, the figures, the parents of a combination, the images.

import { byId, clear, el, joined, named, pictureURL, replace, say, sentence, textOf } from "./dom.js";
import { gapPlot, points } from "./plot.js";
import { buildStrips, updateStrips } from "./strips.js";
import { myAnswer, nameOf, namesOf, store, veiled, wordsOf } from "./store.js";

const KINDS = { hidden: "one concept", complex: "combination", across: "across classes", cue: "cue" };
let shownId = null;
let headKey = "";
let hooks = {};

/** `hooks`: rename(finding), merge(finding). */
export function startFinding(given) {
  hooks = given;
  let width = 0;
  new ResizeObserver(([entry]) => {
    if (Math.abs(entry.contentRect.width - width) < 8) return;
    width = entry.contentRect.width;
    headKey = "";
    updateFinding();
  }).observe(byId("finding"));
}

export function showFinding(id) {
  const main = byId("finding");
  shownId = id;
  headKey = "";
  if (!id) return;
  for (const picture of main.querySelectorAll("img")) {
    if (!picture.complete) picture.removeAttribute("src"); // no longer wanted: make way for the next
  }
  const finding = store.findings.get(id);
  replace(main,
    el("article", { "aria-labelledby": "names" },
      el("header", { id: "head", class: "head" }),
      el("div", { id: "plot" }),
      el("section", { class: "images", "aria-label": "Images" }, buildStrips(finding)),
      el("div", { id: "figures" }),
      el("div", { id: "more" })));
  main.scrollTop = 0;
  updateFinding();
  const at = store.visible.indexOf(id) + 1;
  say(`Finding ${at} of ${store.visible.length}: ${[finding.class_name, ...namesOf(finding)].filter(Boolean).join(", ")}. ${textOf(veiled(id) ? wordsOf(id).question : wordsOf(id).claim)}`);
}

export function updateFinding() {
  const finding = store.findings.get(shownId);
  if (!finding) return;
  const hidden = veiled(shownId);
  const info = store.info[shownId];
  const verdict = myAnswer(shownId).verdict;
  const key = JSON.stringify([hidden, namesOf(finding), wordsOf(shownId).claim, info?.tags, verdict && info?.others, Boolean(verdict)]);
  if (key !== headKey) {
    headKey = key;
    const focused = document.activeElement?.id;
    head(finding, hidden);
    figures(finding, hidden, info);
    more(finding, hidden, info, verdict);
    if (focused && document.activeElement?.id !== focused) byId(focused)?.focus({ preventScroll: true });
  }
  updateStrips(finding);
}

function head(finding, hidden) {
  const words = wordsOf(finding.id);
  const names = namesOf(finding);
  const badge = finding.p_adjusted === null ? ["untested", "not tested"]
    : finding.cue ? ["helps", "▲ leaned on"]
    : finding.significant ? [finding.direction, { hurts: "▼ hurts", helps: "▲ helps", none: "undecided" }[finding.direction]]
      : ["untested", "not significant"];
  const previews = finding.concepts.filter((concept) => store.query.previews[concept]);
  replace(byId("head"),
    el("p", { class: "kicker" },
      finding.class_name ? named(finding.class_name) : finding.cue ? `${finding.cue.classes.length} classes` : "all classes", el("span", {}, KINDS[finding.kind]),
      hidden ? el("span", { class: "chip" }, "blind") : el("span", { class: `chip ${badge[0]}` }, badge[1])),
    el("div", { class: "title-line" },
      previews.length ? el("span", { class: "previews" }, previews.map((concept) => el("img", { src: pictureURL(store.query.previews[concept]), alt: `what ${nameOf(concept)} looks like`, title: nameOf(concept) }))) : null,
      el("h2", { id: "names" }, joined(names.map((name) => named(name)), el("span", { class: "plus" }, " + "))),
      el("span", { class: "name-tools" },
        el("button", { type: "button", id: "rename", class: "quiet small", on: { click: () => hooks.rename(finding) } }, "Rename"),
        el("button", { type: "button", id: "merge", class: "quiet small", on: { click: () => hooks.merge(finding) } }, "Merge"))),
    aliases(finding),
    el("p", { class: "claim" }, sentence(hidden ? words.question : words.claim)),
    hidden ? null : el("p", { class: "soft" }, sentence(words.meaning)));
}

function aliases(finding) {
  const changed = finding.concepts.filter((concept) => nameOf(concept) !== concept);
  if (!changed.length) return null;
  return el("p", { class: "soft small" }, joined(changed.map((concept) => el("span", {}, "“", named(nameOf(concept)), "” was found as “", named(concept), "”")), ", "), ".");
}

function figures(finding, hidden, info) {
  const box = clear(byId("plot"));
  clear(byId("figures"));
  if (hidden) {
    box.append(el("p", { class: "veil" }, "Blind mode: gap, p, direction and predictions appear after your verdict."));
    return;
  }
  const { effect } = finding;
  if (effect.gap !== null) {
    const rows = [{ name: finding.cue ? "with another's" : "as tagged", value: effect.gap, low: effect.low, high: effect.high, cls: "tagged" }];
    const corrected = info?.tags?.corrected;
    if (corrected && corrected.gap !== null) rows.push({ name: "without tag errors", value: corrected.gap, low: corrected.low, high: corrected.high, cls: "corrected" });
    const half = finding.replication?.effect;
    if (half && half.gap !== null) rows.push({ name: "on the other half", value: half.gap, low: half.low, high: half.high, cls: "half" });
    const width = Math.max(260, Math.min(760, byId("plot").clientWidth || 640));
    box.append(el("figure", { class: "gap" },
      gapPlot({ rows, floor: finding.smallest_detectable, width, label: textOf(wordsOf(finding.id).claim) }),
      el("figcaption", { class: "soft small" }, `Gap in ${effect.metric}, percentage points, with ${Math.round(100 * effect.level)} % intervals.`, finding.cue ? " Images with the cue of another class, minus the same images with that of their own." : "", finding.smallest_detectable ? " Shaded: too small to be seen with these images." : "")));
  }
  byId("figures").append(el("h3", {}, "Figures"), el("dl", { class: "facts" }, wordsOf(finding.id).facts.map(([label, value, hint]) =>
    el("div", {}, el("dt", {}, label), el("dd", {}, el("span", { class: "value" }, value), hint ? el("span", { class: "soft small" }, hint) : null)))));
}

function more(finding, hidden, info, verdict) {
  const box = clear(byId("more"));
  if (!hidden && finding.parents.length) box.append(parents(finding));
  if (!hidden && Object.keys(finding.shapley).length) box.append(shares(finding));
  const others = info?.others || [];
  if (verdict && others.length) {
    box.append(el("section", {}, el("h3", {}, "Other reviewers"),
      el("ul", { class: "others" }, others.map((other) => el("li", {}, named(other.reviewer), ": ", el("strong", {}, other.verdict), other.confidence ? ` (confidence ${other.confidence})` : "", other.note ? [" – ", named(other.note)] : null)))));
  } else if (others.length) {
    box.append(el("p", { class: "soft small" }, `${others.length} other verdict${others.length === 1 ? "" : "s"}, shown after yours.`));
  }
}

const signed = (gap) => (gap === null ? "–" : points(gap));

function parents(finding) {
  return el("section", {}, el("h3", {}, "Does every concept add something?"),
    el("p", { class: "soft lead" }, "The same gap with one concept left out. A small p: inside the smaller combination, the concept left out makes a difference."),
    el("div", { class: "table", tabindex: "0", role: "region", "aria-label": "Smaller combinations" }, el("table", {},
      el("thead", {}, el("tr", {}, ["Left out", "What is left", "Images", "Gap", "p"].map((text, at) => el("th", { scope: "col", class: at > 1 ? "number" : null }, text)))),
      el("tbody", {}, finding.parents.map((parent) => {
        const dropped = finding.concepts.filter((concept) => !parent.concepts.includes(concept));
        const list = (concepts) => joined(concepts.map((concept) => named(nameOf(concept))), " + ");
        return el("tr", {}, el("th", { scope: "row" }, list(dropped)), el("td", {}, list(parent.concepts)),
          el("td", { class: "number" }, parent.n.toLocaleString("en")), el("td", { class: "number" }, signed(parent.gap)),
          el("td", { class: "number" }, parent.p_more === null ? "–" : parent.p_more < 0.001 ? "< 0.001" : parent.p_more.toFixed(3)));
      })))));
}

function shares(finding) {
  const values = Object.entries(finding.shapley);
  const largest = Math.max(...values.map(([, share]) => Math.abs(share)), 1e-9);
  return el("section", {}, el("h3", {}, "Which concept carries the gap"),
    el("p", { class: "soft lead" }, "Shapley shares; they sum to the gap."),
    el("ul", { class: "shares" }, values.map(([concept, share]) => {
      const bar = el("i", { class: share < 0 ? "hurts" : "helps" });
      bar.style.width = `${Math.round(100 * Math.abs(share) / largest)}%`;
      return el("li", {}, named(nameOf(concept)), el("span", { class: "share-bar", "aria-hidden": "true" }, bar), el("span", { class: "tabular" }, `${signed(share)} points`));
    })));
}
