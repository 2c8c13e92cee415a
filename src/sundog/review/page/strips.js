// The images of a finding: random samples (to be checked) and the ends of the ranking (to look at).

import { byId, el, named, pictureURL, replace, sentence, toast } from "./dom.js";
import { record } from "./server.js";
import { myAnswer, prefs, store, veiled } from "./store.js";
import { buildTransplants, veilCaptions } from "./transplants.js";

const SAMPLES = ["present", "absent"];

export function buildStrips(finding) {
  if (finding.cue) return buildTransplants(finding.cue);
  const of = (strip) => finding.evidence.filter((evidence) => evidence.strip === strip);
  const many = finding.concepts.length > 1;
  const it = many ? "all of the concepts together" : "the concept";
  const parts = [];
  const samples = of("present").length + of("absent").length;
  if (samples) {
    parts.push(
      el("div", { class: "section-head" },
        el("h3", {}, "Random samples"),
        el("button", { type: "button", id: "overlay", class: "quiet", "aria-pressed": String(prefs.overlay), hidden: !hasOverlay(finding), title: "Show where the classifier looked (o)", on: { click: toggleOverlay } }, "Attribution ", el("kbd", {}, "o"))),
      el("p", { class: "soft lead" }, "Is the tag right? Click an image (or focus it and press ", el("kbd", {}, "x"), `) where it is not. Those under “Tagged” are said to show ${it}, those under “Not tagged” not to.`),
      el("div", { class: "pair" },
        strip(finding, "present", "Tagged", of("present"), "An image here is wrong if it does not show it."),
        strip(finding, "absent", "Not tagged", of("absent"), "An image here is wrong if it does show it.")),
      el("div", { class: "check" },
        el("button", { type: "button", id: "checked", class: "plain-button", on: { click: () => checkAll(finding.id) } }, "I checked all of these ", el("kbd", {}, "c")),
        el("p", { id: "estimate", class: "estimate", "aria-live": "polite" })),
    );
  }
  if (of("top").length || of("bottom").length) {
    parts.push(
      el("div", { class: "section-head" }, el("h3", {}, "Ends of the ranking")),
      el("p", { class: "soft lead" }, "The images with the highest and the lowest score, to see what the concept means here. They are the easiest cases, so they would make the tagger look better than it is: its errors are estimated from the random samples alone."),
      el("div", { class: "pair" },
        strip(finding, "top", "Highest scores", of("top")),
        strip(finding, "bottom", "Lowest scores", of("bottom"))),
    );
  }
  if (!finding.evidence.length) parts.push(el("p", { class: "soft" }, "No images were kept for this finding."));
  return parts;
}

const hasOverlay = (finding) => finding.evidence.some((evidence) => store.query.images[evidence.image].overlay);

function strip(finding, kind, title, evidence, hint = "") {
  const id = `strip-${kind}`;
  return el("section", { class: `strip ${kind}`, "aria-labelledby": id },
    el("h4", { id }, title, " ", el("span", { class: "soft" }, String(evidence.length)), hint ? el("span", { class: "unseen" }, `. ${hint}`) : null),
    evidence.length
      ? el("ul", { class: "shots" }, evidence.map((one) => el("li", {}, shot(finding, one, SAMPLES.includes(kind)))))
      : el("p", { class: "soft small" }, "No image."));
}

function shot(finding, evidence, toggles) {
  const card = store.query.images[evidence.image];
  const picture = el("img", { loading: "lazy", decoding: "async", alt: "", draggable: "false", "data-plain": pictureURL(card.thumbnail), ...(card.overlay ? { "data-overlay": pictureURL(card.overlay) } : {}) });
  picture.addEventListener("error", () => {
    picture.closest(".frame").classList.add("missing");
  });
  picture.addEventListener("load", () => picture.closest(".frame").classList.remove("missing"));
  picture.src = prefs.overlay && card.overlay ? picture.dataset.overlay : picture.dataset.plain;
  const frame = el("span", { class: "frame" }, picture, el("span", { class: "gone", "aria-hidden": "true" }, "picture missing"), el("span", { class: "cross", "aria-hidden": "true" }, "tag wrong"));
  const mark = el("span", { class: "mark" });
  const body = [frame, mark];
  if (!toggles) return el("div", { class: "shot", "data-image": evidence.image, title: card.source }, body);
  const button = el("button", { type: "button", class: "shot", "aria-pressed": "false", "data-image": evidence.image, "data-toggles": "yes", title: card.source, on: { click: () => toggleTag(finding.id, evidence.image) } }, body);
  return button;
}

/** Bring marks in step with what is known now; images are not loaded again. */
export function updateStrips(finding) {
  const answer = myAnswer(finding.id);
  const hidden = veiled(finding.id);
  veilCaptions(byId("finding"), hidden);
  for (const node of byId("finding").querySelectorAll(".shot")) {
    const card = store.query.images[node.dataset.image];
    node.classList.toggle("mistaken", !hidden && !card.correct);
    const mark = node.querySelector(".mark");
    const key = String(hidden);
    if (mark.dataset.key !== key) {
      mark.dataset.key = key;
      replace(mark, ...(hidden ? [] : prediction(card)));
    }
    if (node.dataset.toggles) {
      const wrong = answer.wrong.has(node.dataset.image);
      node.setAttribute("aria-pressed", String(wrong));
      node.setAttribute("aria-label", label(node, card, wrong, hidden));
    } else {
      node.querySelector("img").alt = label(node, card, false, hidden);
    }
  }
  const button = byId("checked");
  if (button) {
    button.disabled = answer.checked;
    replace(button, answer.checked ? "✓ All of these are checked" : ["I checked all of these ", el("kbd", {}, "c")]);
    showEstimate(finding, answer, hidden);
  }
}

function prediction(card) {
  const sure = `${Math.round(100 * card.confidence)}\u00a0%`;
  return card.correct
    ? [el("span", { class: "right" }, "✓ right"), el("span", { class: "soft" }, ` ${sure}`)]
    : [el("span", { class: "wrong" }, "✗ ", named(card.predicted)), el("span", { class: "soft own" }, named(card.class_name), ` ${sure}`)];
}

function label(node, card, wrong, hidden) {
  const strip = node.closest(".strip");
  const title = strip.querySelector("h4").firstChild.textContent;
  const said = hidden ? "" : card.correct ? ", predicted rightly" : `, wrongly predicted as ${card.predicted}, its own class at ${Math.round(100 * card.confidence)} %`;
  const place = [...strip.querySelectorAll(".shot")].indexOf(node) + 1;
  return `${title}, image ${place}${said}${wrong ? "; its tag is marked wrong" : ""}`;
}

function showEstimate(finding, answer, hidden) {
  const box = byId("estimate");
  const info = store.info[finding.id];
  const words = info && (hidden ? info.blind_tag_words : info.tag_words);
  const waiting = store.pending.some((event) => event.finding === finding.id && event.image);
  const parts = words ? sentence(words) : [];
  if (!words && answer.wrong.size) parts.push("The estimate follows when the server answers.");
  if (!hidden && info?.tags?.note) parts.push(" ", el("span", { class: "soft" }, info.tags.note));
  if (answer.wrong.size && !answer.checked) parts.push(el("span", { class: "soft" }, " Provisional: images not marked count as right once you say that you checked all of them."));
  box.classList.toggle("waiting", waiting);
  replace(box, ...parts);
}

/** Ask again for pictures that could not be had while the server was away. */
export function retryPictures() {
  for (const picture of byId("finding").querySelectorAll(".missing img")) {
    const { src } = picture;
    picture.removeAttribute("src");
    picture.src = src;
  }
}

export function toggleTag(id, image) {
  const wrong = myAnswer(id).wrong.has(image);
  record(wrong ? "tag right" : "tag wrong", { finding: id, image });
}

export function toggleFocused() {
  const shown = document.activeElement?.closest?.("[data-toggles]");
  if (shown) shown.click();
  else toast("Focus an image of the random samples first: press i, then the arrows.");
}

export function checkAll(id) {
  if (!byId("checked") || myAnswer(id).checked) return;
  record("tags checked", { finding: id });
}

export function focusImages() {
  const first = byId("finding").querySelector("[data-toggles]");
  if (first) first.focus();
  return Boolean(first);
}

/** Arrow keys move among the sample images; false if the focus is not on one. */
export function moveFocus(steps) {
  const here = document.activeElement?.closest?.("[data-toggles]");
  if (!here) return false;
  const all = [...byId("finding").querySelectorAll("[data-toggles]")];
  all[Math.max(0, Math.min(all.length - 1, all.indexOf(here) + steps))].focus();
  return true;
}

export function toggleOverlay() {
  prefs.overlay = !prefs.overlay;
  byId("overlay")?.setAttribute("aria-pressed", String(prefs.overlay));
  for (const picture of byId("finding").querySelectorAll("img[data-overlay]")) {
    picture.src = prefs.overlay ? picture.dataset.overlay : picture.dataset.plain;
  }
  document.dispatchEvent(new Event("preferences"));
}
