// What keys, clicks and choices do.

// Labels what is selected, or the current cell, or the one at `place`. `choice` as in labels.js, or a function from a
// cell to it. `onward` goes to the next cell, and selects no longer.
function label(choice, { place, onward = false } = {}) {
  const cells = place === undefined || selected.has(order[place]) ? acted() : [order[place]];
  if (!cells.length) return;
  const last = order.indexOf(cells.at(-1));
  say(cells, typeof choice === "function" ? choice : () => choice);
  const { content, path } = cells[0];
  const text = labels.has(content) ? labels.get(content) || reasonOf(cells[0]) : "label taken back";
  byId("heard").textContent = cells.length > 1 ? `${whole(cells.length)} cells: ${text}` : `${text}: ${path}`;
  byId("typed").value = "";
  if (onward) {
    go(last + 1);
    return;
  }
  if (place !== undefined && !selected.size) go(place);
  else if (current >= 0) moveTo(current);
}

const accept = (cell) => labels.get(cell.content) || cell.predicted;

// A class of the run for artefacts, where it has one; else such cells are left out, with the reason. As English,
// German, French, Spanish and Italian write it: artefact, artifact, Artefakt, artéfact, artefacto, artefatto.
const OF_ARTEFACTS = /^art$|art[eéi]\u0301?fa[ckt]/i;
const ARTEFACT = DATA.classes.find(
  (name) => OF_ARTEFACTS.test(name) || fullName(name).search(OF_ARTEFACTS) === 0,
);
const isArtefact = (cell) => (ARTEFACT ? labels.get(cell.content) === ARTEFACT : reasonOf(cell) === "artefact");
const artefact = () => ARTEFACT ?? { label: "", reason: "artefact" };

// Takes a step back or does it again, and goes to where it happened.
function step(changes, what) {
  if (!changes) return;
  byId("heard").textContent = `${whole(changes.length)} ${what}`;
  const found = order.indexOf(changes[0].cell);
  if (found >= 0) go(found);
}

// Makes a cell the current one; with `extend` all up to it are selected.
function go(place, extend = false) {
  if (!order.length) return;
  const to = Math.min(Math.max(place, 0), order.length - 1);
  if (extend) selectTo(to);
  moveTo(to);
  if (extend) tellSelection();
  else clearSelection();
}

const MOVES = {
  ArrowRight: () => current + 1,
  ArrowLeft: () => current - 1,
  ArrowDown: () => rowsAway(1),
  ArrowUp: () => rowsAway(-1),
  PageDown: () => rowsAway(page()),
  PageUp: () => rowsAway(-page()),
  Home: () => 0,
  End: () => order.length - 1,
};
const TEXT_FIELDS = "input:not([type=checkbox])";
const ACTS = {
  " ": () => label(accept, { onward: true }),
  Delete: () => label("", { onward: true }),
  Backspace: () => label("", { onward: true }),
  x: () => label(artefact(), { onward: true }),
  ...ZOOM,
};

const classOfKey = (key) => key.length === 1 && classes.find((name) => keyOf(name) === key);

// A field that is hidden takes no focus, and what is typed would be keys: a closed panel is opened first.
function enter(enlarge) {
  if (panel.hidden) moveTo(current);
  if (enlarge) setLarge(!isLarge());
  else byId("typed").focus();
}

function galleryKey(event) {
  if (event.altKey) return;
  if (current < 0) current = Number(event.target.closest(".cell")?.dataset.place ?? -1);
  if (current < 0) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.ctrlKey || event.metaKey) {
    if (key === "a") selectAll();
    else if (PAN[key]) panBy(...PAN[key]);
    else return;
  } else if (MOVES[key]) go(MOVES[key](), event.shiftKey);
  else if (key === "Enter") enter(event.shiftKey);
  else if (key === "Escape" && isLarge()) setLarge(false);
  else if (key === "Escape") clearSelection();
  else if (ACTS[key]) ACTS[key]();
  else if (classOfKey(key)) label(classOfKey(key), { onward: true });
  else return;
  event.preventDefault();
}

// In the panel fields and buttons have keys of their own.
function panelKey(event) {
  if (event.target.matches(TEXT_FIELDS)) return;
  if (event.target.matches("button, input") && [" ", "Enter"].includes(event.key)) return;
  galleryKey(event);
}

// Everywhere but in fields for text, which take back their own, and in the dialog, below which nothing is seen.
function undoKey(event) {
  if (!(event.ctrlKey || event.metaKey) || event.target.matches(TEXT_FIELDS)) return;
  if (byId("print").open) return;
  const key = event.key.toLowerCase();
  if (key === "y" || (key === "z" && event.shiftKey)) step(redo(), "done again");
  else if (key === "z") step(undo(), "taken back");
  else return;
  event.preventDefault();
}

// The columns of a file that say what a row is about.
const pictureOf = (cell) => ({
  file: cell.file,
  group: cell.group ? DATA.counts[cell.group].group : "",
  content: cell.content,
});

function save(rows, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csvText(rows, { slides: DATA.slides })], { type: "text/csv" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  const lost = new Set(rows.filter((row) => !canBeListed(row.file)).map((row) => row.file)).size;
  if (!lost) return;
  byId("warning").textContent = `${whole(lost)} images are not in the file: their names are not UTF-8 or cannot be written in one line.`;
  byId("warning").hidden = false;
}

function downloadAside() {
  const rows = asideHere().map(({ cell, said }) => ({ ...pictureOf(cell), ...said, seen: true }));
  save(rows, `${DATA.title}_labels_left_aside.csv`);
}

function download() {
  const which = byId("which").value;
  const cells = { every: CELLS, shown: order, seen: CELLS.filter(STATES.seen) }[which];
  if (!cells.length) {
    byId("warning").textContent = "No such cell: there is nothing to download yet. Look at some, or choose other rows.";
    byId("warning").hidden = false;
    return;
  }
  const rows = cells.map((cell) => ({
    ...pictureOf(cell),
    predicted: proposalOf(cell),
    seen: stateOf(cell) !== "open",
    run: DATA.network,
    ...decisions.get(cell.content),
    label: labelOf(cell),
  }));
  save(rows, `${DATA.title}_labels.csv`);
  const inFile = new Set(cells.filter((cell) => canBeListed(cell.file)).map((cell) => cell.content));
  setDownloaded([...labels.keys()].every((content) => inFile.has(content)));
}

function afterChange() {
  dropUnusedClasses();
  update();
  byId("undo").disabled = !done.length;
  byId("redo").disabled = !undone.length;
  const stale = ["todo", "open", "seen", "changed", "out"].includes(byId("by-state").value);
  byId("again").hidden = !stale && byId("sections").value !== "label";
  showClasses();
  showUnsigned();
}

// What was kept since by this page in another tab, or by another page: not where labels are only here yet.
function catchUp() {
  if (!stored || waiting) return;
  recall();
  byId("reviewer").value = reviewer;
  afterChange();
}

function catchUpSpecimen() {
  recallSpecimen();
  showCount();
}

listeners.push(afterChange);
gallery.addEventListener("keydown", galleryKey);
document.addEventListener("keydown", undoKey);
gallery.addEventListener("click", (event) => {
  const cell = event.target.closest(".cell");
  if (!cell || boxed) return;
  const chosenLabel = event.target.closest("button")?.dataset.label;
  const place = Number(cell.dataset.place);
  if (event.ctrlKey || event.metaKey || selecting) toggle(place);
  else if (event.shiftKey) go(place, true);
  else if (chosenLabel === undefined) go(place);
  else label(chosenLabel, { place });
});
list.addEventListener("click", (event) => {
  const name = event.target.closest("li")?.dataset.label;
  if (name !== undefined) label(name);
});
byId("typed").addEventListener("input", offer);
byId("typed").addEventListener("keydown", typeKey);
panel.addEventListener("keydown", panelKey);
byId("keep").addEventListener("click", () => label(accept));
byId("artefact").addEventListener("click", () => label(artefact()));
byId("clear-selection").addEventListener("click", selectNone);
byId("reviewer").addEventListener("change", (event) => {
  setReviewer(event.target.value);
  update();
  showUnsigned();
});
byId("sign").addEventListener("click", () => {
  sign();
  update();
  showUnsigned();
});
byId("drop").addEventListener("click", () => label(""));
byId("clear").addEventListener("click", () => label(undefined));
byId("close").addEventListener("click", () => {
  setLarge(false);
  selectNone();
  const before = current;
  current = -1;
  update();
  gallery.querySelector(`[data-place="${before}"]`)?.focus({ preventScroll: true });
});
byId("undo").addEventListener("click", () => step(undo(), "taken back"));
byId("redo").addEventListener("click", () => step(redo(), "done again"));
byId("accept").addEventListener("click", () => say(openShown(), (cell) => cell.predicted));
byId("download").addEventListener("click", download);
byId("rescue").addEventListener("click", downloadAside);
byId("forget").addEventListener("click", () => {
  if (confirm(`${byId("aside-text").textContent} Delete them from this browser for good?`)) forgetAside();
});
byId("make-room").addEventListener("click", () => {
  const sure = "Delete them from this browser for good? Make sure that the downloaded files are there.";
  if (confirm(`${byId("full-text").textContent} ${sure}`)) makeRoom();
});
byId("attention").addEventListener("change", refreshAttention);
byId("again").addEventListener("click", show);
byId("by-text").addEventListener("input", show);
byId("sections").addEventListener("change", () => {
  showClasses();
  show();
});
for (const id of ["by-class", "by-state", "sort"]) byId(id).addEventListener("change", show);
byId("tools").addEventListener("submit", (event) => event.preventDefault());
byId("specimen").addEventListener("change", saySpecimen);
byId("groups")?.closest("details").addEventListener("toggle", showGroups);
byId("group")?.addEventListener("change", () => {
  showCount();
  show();
});

addEventListener("scroll", onceAFrame(draw), { passive: true });
let width = 0;
new ResizeObserver(() => {
  if (gallery.clientWidth === width) return;
  width = gallery.clientWidth;
  layOut();
}).observe(gallery);
addEventListener("storage", (event) => {
  if ([STORE, STEPS, REVIEWER, ...FORMERS.map(([name]) => name)].includes(event.key)) catchUp();
  if (event.key === SPECIMEN_STORE) catchUpSpecimen();
});
// A page that comes back as it was left has heard of nothing meanwhile.
addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  catchUp();
  catchUpSpecimen();
});
addEventListener("pagehide", () => (waiting || (!stored && labels.size)) && store());
addEventListener("beforeunload", (event) => {
  if (!stored && labels.size && !downloaded) event.preventDefault();
});

// What a browser saved with the page, where it saved all as it was seen.
setLarge(false);
gallery.replaceChildren();
clearReports();
refreshAttention();
recall();
dropUnusedClasses();
byId("reviewer").value = reviewer;
showUnsigned();
byId("undo").disabled = !done.length;
byId("artefact").title = ARTEFACT ? `x: label as ${ARTEFACT}` : "x: leave out, as an artefact";
recallSpecimen();
showClasses();
showCount();
show();
prepareByAddress();
