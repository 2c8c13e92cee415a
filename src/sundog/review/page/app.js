// The review page: opens the session, then list, finding and dock follow the store.

import { byId, el, replace, toast } from "./dom.js";
import { aboutDialog, askName, classTable, keysDialog, mergeDialog, renameDialog } from "./dialogs.js";
import { enterFinding, leaveFinding, startDock, updateDock } from "./dock.js";
import { showFinding, startFinding, updateFinding } from "./finding.js";
import { startKeys } from "./keys.js";
import { focusList, refreshList, startList, updateRows, veilFilters } from "./list.js";
import { fetchEstimate, fetchQuery, flush, isLocked, loadState, openSession, recoverPending, startPolling } from "./server.js";
import { retryPictures } from "./strips.js";
import { judgedCount, loadQuery, myAnswer, onChange, prefs, savePrefs, store } from "./store.js";

function openFinding(id, { keepList = false } = {}) {
  if (!id) return;
  leaveFinding();
  const inside = byId("finding").contains(document.activeElement);
  store.current = id;
  refreshList();
  showFinding(id);
  enterFinding(id);
  fetchEstimate(id);
  if (inside) byId("finding").focus({ preventScroll: true });
  if (!keepList) closeList();
}

function update() {
  const total = store.findings.size;
  const judged = judgedCount();
  byId("progress-text").textContent = `${judged.toLocaleString("en")} of ${total.toLocaleString("en")} judged`;
  byId("bar").setAttribute("aria-valuemax", String(total));
  byId("bar").setAttribute("aria-valuenow", String(judged));
  byId("bar-fill").style.width = `${total ? (100 * judged) / total : 0}%`;
  document.title = `${judged}/${total} · ${store.query.title}`;
  showAgreement();
  updateRows();
  updateFinding();
  updateDock();
  if (store.current) fetchEstimate(store.current);
}

const decimal = (value) => value.toFixed(2).replace("-", "−");

function showAgreement() {
  const found = store.agreement;
  const box = byId("agreement");
  box.hidden = !found || found.reviewers < 2;
  if (box.hidden) return;
  if (found.kappa === null) {
    replace(box, `${found.reviewers} reviewers. ${found.note || "No finding is judged by two of them yet."}`);
    return;
  }
  const range = found.low === null ? "" : ` [${decimal(found.low)}, ${decimal(found.high)}]`;
  replace(box,
    `${found.reviewers} reviewers, ${found.findings} finding${found.findings === 1 ? "" : "s"} judged by two or more: `,
    el("strong", { class: "tabular" }, `Fleiss κ ${decimal(found.kappa)}${range}`),
    found.agreement === null ? "" : `, ${Math.round(100 * found.agreement)} % of pairs agree.`);
}

function showPreferences() {
  byId("blind").setAttribute("aria-pressed", String(prefs.blind));
  byId("auto").setAttribute("aria-pressed", String(prefs.auto));
  replace(byId("who"), el("bdi", {}, prefs.reviewer || "Name"));
  byId("who").setAttribute("aria-label", `Reviewer: ${prefs.reviewer}. Change`);
  veilFilters(prefs.blind);
  savePrefs();
}

function toggle(name, on, off) {
  prefs[name] = !prefs[name];
  showPreferences();
  toast(prefs[name] ? on : off);
}

const acts = {
  auto: () => toggle("auto", "Auto-advance is on.", "Auto-advance is off."),
  blind: () => {
    toggle("blind", "Blind: gap, p and direction are hidden until your verdict; the list is shuffled.", "Blind mode is off.");
    refreshList();
    if (store.current) showFinding(store.current);
    update();
  },
  rename: () => store.current && renameDialog(store.findings.get(store.current)),
  merge: () => store.current && mergeDialog(store.findings.get(store.current)),
  search: () => { acts.openList(); byId("search").focus(); },
  keys: () => keysDialog(savePrefs),
  openList: () => {
    if (byId("open-list").offsetParent === null) return; // wide: the list is always there
    document.body.classList.add("list-open");
    byId("open-list").setAttribute("aria-expanded", "true");
  },
  escape: (event) => {
    if (document.body.classList.contains("list-open")) {
      closeList();
      byId("open-list").focus();
    } else if (event.target !== document.body) {
      byId("finding").focus({ preventScroll: true });
    }
  },
};

function closeList() {
  document.body.classList.remove("list-open");
  byId("open-list").setAttribute("aria-expanded", "false");
}

async function changeReviewer() {
  const before = prefs.reviewer;
  await askName({ required: false });
  showPreferences();
  if (prefs.reviewer !== before) {
    await loadState().catch(() => {});
    if (store.current) showFinding(store.current);
    update();
  }
}

function wire() {
  byId("blind").addEventListener("click", acts.blind);
  byId("auto").addEventListener("click", acts.auto);
  byId("about").addEventListener("click", aboutDialog);
  byId("keys").addEventListener("click", acts.keys);
  byId("who").addEventListener("click", changeReviewer);
  byId("open-list").addEventListener("click", () => {
    if (document.body.classList.contains("list-open")) closeList();
    else { acts.openList(); focusList(); }
  });
  byId("menu").addEventListener("click", () => {
    const shown = byId("tools").classList.toggle("shown");
    byId("menu").setAttribute("aria-expanded", String(shown));
  });
  document.addEventListener("preferences", showPreferences);
  document.addEventListener("reconnected", retryPictures);
  startKeys(acts);
}

function showNothing() {
  replace(byId("finding"), el("article", {}, el("h2", {}, "Nothing to judge"),
    el("p", { class: "claim" }, "No finding was put before you. That is not a proof that there is no bias: the table says how large a gap would have been seen."),
    store.query.classes.length ? classTable() : null));
}

function showClosed(error) {
  byId("title").textContent = "Not open";
  replace(byId("finding"), el("article", {}, el("h2", {}, isLocked(error) ? "This page needs its link" : "The server does not answer"),
    el("p", { class: "claim" }, isLocked(error)
      ? "Open the link that the command printed; it carries the key of this session."
      : "Start it again with the same command, then open the link it prints."),
    el("p", { class: "soft" }, error.message || "")));
}

async function start() {
  try {
    await openSession();
    loadQuery(await fetchQuery());
  } catch (error) {
    showClosed(error);
    return;
  }
  byId("title").textContent = store.query.title;
  recoverPending();
  if (!prefs.reviewer) await askName({ required: true });
  showPreferences();
  await loadState();
  if (store.pending.length) flush();
  startList(openFinding);
  startDock(openFinding);
  startFinding({ rename: acts.rename, merge: acts.merge });
  wire();
  onChange(update);
  refreshList();
  update();
  if (store.findings.size) {
    const first = store.visible.find((id) => !myAnswer(id).verdict) ?? store.visible[0];
    openFinding(first);
    if (first !== store.visible[0]) toast("Going on where you stopped.");
  } else {
    showNothing();
  }
  startPolling();
  document.documentElement.dataset.ready = "yes";
}

start();
