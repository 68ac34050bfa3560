// What a person said: file -> class, or "" for a cell to leave out; no entry where nobody has looked.
const labels = new Map();
const done = [];
const undone = [];
const listeners = [];
const STORE = `asae-predict ${DATA.page}`;
let stored = true;
let downloaded = true;

const labelOf = (cell) => labels.get(cell.file) ?? cell.predicted;

function stateOf(cell) {
  const label = labels.get(cell.file);
  if (label === undefined) return "open";
  if (label === "") return "out";
  return label === cell.predicted ? "kept" : "changed";
}

// One step, to be taken back as one: `choose` gives a cell's new label, undefined to forget it.
function say(cells, choose) {
  const changes = cells
    .map((cell) => ({ cell, before: labels.get(cell.file), after: choose(cell) }))
    .filter(({ before, after }) => before !== after);
  if (!changes.length) return;
  done.push(changes);
  undone.length = 0;
  apply(changes, "after");
}

function undo() {
  const changes = done.pop();
  if (!changes) return null;
  undone.push(changes);
  apply([...changes].reverse(), "before");
  return changes;
}

function redo() {
  const changes = undone.pop();
  if (!changes) return null;
  done.push(changes);
  apply(changes, "after");
  return changes;
}

function apply(changes, when) {
  for (const { cell, [when]: label } of changes) {
    if (label === undefined) labels.delete(cell.file);
    else labels.set(cell.file, label);
    addClass(label);
  }
  downloaded = false;
  keep();
  for (const listener of listeners) listener();
}

// Written once per turn of the event loop, however fast the keys come.
let waiting = 0;

function keep() {
  clearTimeout(waiting);
  waiting = setTimeout(store, 200);
}

function store() {
  clearTimeout(waiting);
  try {
    if (labels.size) localStorage.setItem(STORE, JSON.stringify([...labels]));
    else localStorage.removeItem(STORE);
    stored = true;
  } catch {
    stored = false;
  }
  byId("warning").hidden = stored;
  byId("warning").textContent = "This browser does not keep your labels: download them before you close the page.";
}

function recall() {
  labels.clear();
  try {
    for (const [file, label] of JSON.parse(localStorage.getItem(STORE) ?? "[]")) {
      labels.set(file, label);
      addClass(label);
    }
  } catch {
    stored = false;
  }
}
