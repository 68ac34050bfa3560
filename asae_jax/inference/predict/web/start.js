// What keys, clicks and choices do.
function label(name, { place = current, onward = false } = {}) {
  const cell = order[place];
  if (!cell) return;
  say([cell], () => name);
  byId("heard").textContent = `${name || (name === "" ? LEFT_OUT : "label taken back")}: ${cell.path}`;
  byId("typed").value = "";
  moveTo(place + (onward ? 1 : 0));
}

const accept = (cell) => labels.get(cell.content) || cell.predicted;

// Takes a step back or does it again, and goes to where it happened.
function step(changes) {
  if (!changes) return;
  byId("heard").textContent = `${whole(changes.length)} taken back or done again`;
  const found = order.indexOf(changes[0].cell);
  if (found >= 0) moveTo(found);
}

const MOVES = {
  ArrowRight: () => moveTo(current + 1),
  ArrowLeft: () => moveTo(current - 1),
  ArrowDown: () => moveRows(1),
  ArrowUp: () => moveRows(-1),
  PageDown: () => moveRows(page()),
  PageUp: () => moveRows(-page()),
  Home: () => moveTo(0),
  End: () => moveTo(order.length - 1),
  Enter: () => byId("typed").focus(),
  " ": () => label(accept(order[current]), { onward: true }),
  Delete: () => label("", { onward: true }),
  Backspace: () => label("", { onward: true }),
};

function galleryKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (current < 0) current = Number(event.target.closest(".cell")?.dataset.place ?? -1);
  if (current < 0) return;
  const number = KEYS.indexOf(event.key.toLowerCase());
  if (MOVES[event.key]) MOVES[event.key]();
  else if (event.key.length === 1 && number >= 0 && number < classes.length) {
    label(classes[number], { onward: true });
  } else return;
  event.preventDefault();
}

// Everywhere but in fields, which take back their own text.
function undoKey(event) {
  if (!(event.ctrlKey || event.metaKey) || event.target.matches("input")) return;
  const key = event.key.toLowerCase();
  if (key === "z") step(event.shiftKey ? redo() : undo());
  else if (key === "y") step(redo());
  else return;
  event.preventDefault();
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
    file: cell.file,
    label: labelOf(cell),
    group: cell.group ? DATA.counts[cell.group].group : "",
    predicted: cell.predicted,
    seen: stateOf(cell) !== "open",
    content: cell.content,
  }));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csvText(rows)], { type: "text/csv" }));
  link.download = `${DATA.title}_labels.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  downloaded = true;
  const lost = new Set(cells.filter((cell) => !canBeListed(cell.file)).map((cell) => cell.file)).size;
  if (lost) {
    byId("warning").textContent = `${whole(lost)} images are not in the file: their names are not UTF-8 or cannot be written in one line.`;
    byId("warning").hidden = false;
  }
}

function afterChange() {
  update();
  byId("undo").disabled = !done.length;
  byId("redo").disabled = !undone.length;
  const stale = ["open", "seen", "changed", "out"].includes(byId("by-state").value);
  byId("again").hidden = !stale && byId("sections").value !== "label";
  if (byId("by-class").length !== classes.length + 1) showClasses();
}

listeners.push(afterChange);
gallery.addEventListener("keydown", galleryKey);
document.addEventListener("keydown", undoKey);
gallery.addEventListener("click", (event) => {
  const cell = event.target.closest(".cell");
  if (!cell) return;
  const chosenLabel = event.target.closest("button")?.dataset.label;
  const place = Number(cell.dataset.place);
  if (chosenLabel === undefined) moveTo(place);
  else label(chosenLabel, { place });
});
list.addEventListener("click", (event) => {
  const name = event.target.closest("li")?.dataset.label;
  if (name !== undefined) label(name);
});
byId("typed").addEventListener("input", offer);
byId("typed").addEventListener("keydown", typeKey);
byId("keep").addEventListener("click", () => label(accept(order[current])));
byId("drop").addEventListener("click", () => label(""));
byId("clear").addEventListener("click", () => label(undefined));
byId("close").addEventListener("click", () => {
  const before = current;
  current = -1;
  update();
  gallery.querySelector(`[data-place="${before}"]`)?.focus({ preventScroll: true });
});
byId("undo").addEventListener("click", () => step(undo()));
byId("redo").addEventListener("click", () => step(redo()));
byId("accept").addEventListener("click", () => say(order, (cell) => labels.get(cell.content) ?? cell.predicted));
byId("download").addEventListener("click", download);
byId("forget").addEventListener("click", () => {
  if (confirm(`${byId("aside-text").textContent} Delete them from this browser for good?`)) forgetAside();
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
  if (event.key !== STORE) return;
  recall();
  done.length = undone.length = 0;
  afterChange();
});
addEventListener("pagehide", store);
addEventListener("beforeunload", (event) => {
  if (!stored && labels.size && !downloaded) event.preventDefault();
});

document.documentElement.style.setProperty("--extent", DATA.extent);
recall();
recallSpecimen();
showClasses();
showCount();
show();
if (location.hash === REPORT_HASH) prepareReports(printable_());
