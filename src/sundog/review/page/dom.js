// Building blocks of the page. Text reaches it through textContent alone.

export const byId = (id) => document.getElementById(id);

const PROPERTIES = new Set(["hidden", "disabled", "value", "checked", "htmlFor", "className"]);

/** Make an element: attributes, `on` handlers, then children (nodes or texts; null is left out). */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [kind, run] of Object.entries(value)) node.addEventListener(kind, run);
    else if (name === "class") node.className = value;
    else if (PROPERTIES.has(name)) node[name] = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  add(node, children);
  return node;
}

export function add(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  for (const child of children) node.append(child);
  return node;
}

/** A name of a class or concept: its direction of writing does not leak into the sentence. */
export const named = (text, cls = "") => el("bdi", cls ? { class: cls } : {}, text);

/** Render [kind, text] pieces of a sentence. */
export function sentence(pieces) {
  return (pieces || []).map(([kind, text]) =>
    kind === "name" ? named(text, "name") : kind === "strong" ? el("strong", {}, text) : text);
}

export const textOf = (pieces) => (pieces || []).map(([, text]) => text).join("");

/** Put texts or copies of a node between nodes: joined([a, b], " + "). */
export const joined = (nodes, between) => nodes.flatMap((node, index) =>
  (index ? [typeof between === "string" ? between : between.cloneNode(true), node] : [node]));

export const replace = (node, ...children) => add(clear(node), children);

export function clear(node) {
  node.replaceChildren();
  return node;
}

let toastTimer = 0;
export function toast(text, seconds = 4) {
  const box = byId("toast");
  box.textContent = text;
  box.classList.add("shown");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => box.classList.remove("shown"), 1000 * seconds);
}

export function say(text) {
  byId("live").textContent = text;
}

export const pictureURL = (file) => "/images/" + file.split("/").map(encodeURIComponent).join("/");
