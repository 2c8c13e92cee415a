// The evidence of a cue: what was moved, into which image, and what came out, three by three.

import { el, pictureURL } from "./dom.js";

const PARTS = [["donor", "Taken from"], ["target", "put into"], ["moved", "what comes out"]];

export function buildTransplants(cue) {
  const parts = [el("div", { class: "section-head" }, el("h3", {}, "What happens when it is moved"))];
  if (cue.transplants.length) {
    parts.push(
      el("p", { class: "soft lead" }, "Each row: an image of the cue's class, an image of another class, and that image with the part (or property) of the first. Nothing else was changed. Look for what the third has taken over: is it part of the class?"),
      el("ul", { class: "transplants" }, cue.transplants.map((shown) => el("li", {}, PARTS.map(([part, title], at) => one(shown[part], title, shown.captions[at]))))),
    );
  } else {
    parts.push(el("p", { class: "soft" }, "No pictures were kept for this cue."));
  }
  if (cue.mask) {
    parts.push(
      el("div", { class: "section-head" }, el("h3", {}, "Where it is")),
      el("p", { class: "soft lead" }, "White: the part of the image that was moved."),
      el("div", { class: "transplants" }, one(cue.mask, "place of the cue", "")),
    );
  }
  return parts;
}

/** A caption may say what is predicted: it is hidden in blind mode until the verdict. */
function one(file, title, caption) {
  const picture = el("img", { loading: "lazy", decoding: "async", alt: caption ? `${title}: ${caption}` : title, draggable: "false" });
  picture.addEventListener("error", () => picture.closest(".frame").classList.add("missing"));
  picture.addEventListener("load", () => picture.closest(".frame").classList.remove("missing"));
  picture.src = pictureURL(file);
  picture.dataset.title = title;
  picture.dataset.caption = caption;
  return el("figure", { class: "transplant" },
    el("span", { class: "frame" }, picture, el("span", { class: "gone", "aria-hidden": "true" }, "picture missing")),
    el("figcaption", { class: "soft small" }, el("span", {}, title), caption ? el("bdi", { class: "said" }, caption) : null));
}

/** Show or hide what the captions say. */
export function veilCaptions(box, hidden) {
  for (const node of box.querySelectorAll(".transplant .said")) node.hidden = hidden;
  for (const picture of box.querySelectorAll(".transplant img")) {
    const { title, caption } = picture.dataset;
    picture.alt = caption && !hidden ? `${title}: ${caption}` : title;
  }
}
