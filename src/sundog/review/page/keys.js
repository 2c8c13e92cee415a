// The keyboard: every act has a key; keys do nothing while something is typed or a dialog is open.

import { byId } from "./dom.js";
import { dialogOpen } from "./dialogs.js";
import { giveConfidence, giveVerdict, move, redo, undo } from "./dock.js";
import { focusList } from "./list.js";
import { checkAll, focusImages, moveFocus, toggleFocused, toggleOverlay } from "./strips.js";
import { prefs, store } from "./store.js";

const typing = (node) => node instanceof HTMLElement && (node.matches("input, textarea, select") || node.isContentEditable);

function digit(event) {
  const found = /^(?:Digit|Numpad)([1-5])$/.exec(event.code) || (event.code ? null : /^([1-5])$/.exec(event.key));
  return found ? Number(found[1]) : 0;
}

export function startKeys(acts) {
  const arrows = { ArrowRight: 1, ArrowLeft: -1 };
  const letters = {
    j: () => move(1), k: () => move(-1), u: undo, r: redo, a: acts.auto, b: acts.blind, o: toggleOverlay,
    i: () => focusImages(), x: toggleFocused, c: () => store.current && checkAll(store.current), e: acts.rename, m: acts.merge,
    n: () => byId("note").focus(), "/": acts.search, l: () => { acts.openList(); focusList(); }, "?": acts.keys,
  };
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing || dialogOpen()) return;
    if (event.key === "Escape") {
      acts.escape(event);
      return;
    }
    if (typing(event.target) || !prefs.singleKeys) return;
    const number = digit(event);
    let run = null;
    if (number && !event.repeat) run = event.shiftKey ? () => giveConfidence(number) : () => giveVerdict(store.verdicts[number - 1]);
    else if (arrows[event.key] && !event.shiftKey) run = () => moveFocus(arrows[event.key]) || move(arrows[event.key]);
    else if (!event.repeat || event.key === "j" || event.key === "k") run = letters[event.key] ?? (event.shiftKey ? null : letters[event.key.toLowerCase()]);
    if (!run) return;
    event.preventDefault();
    run();
  });
}
