// What a person said: content of a picture -> class, or "" for a cell to leave out; no entry where nobody has looked.
// A picture that comes twice has one label.
const labels = new Map();
// What was said on this page of other pictures, or of another network's predictions: kept, not applied.
let aside = [];
const done = [];
const undone = [];
const listeners = [];
const STORE = `asae-predict ${DATA.page}`;
let stored = true;
let downloaded = true;

const labelOf = (cell) => labels.get(cell.content) ?? cell.predicted;

function stateOf(cell) {
  const label = labels.get(cell.content);
  if (label === undefined) return "open";
  if (label === "") return "out";
  return label === cell.predicted ? "kept" : "changed";
}

// One step, to be taken back as one: `choose` gives a cell's new label, undefined to forget it.
function say(cells, choose) {
  const changes = cells
    .map((cell) => ({ cell, before: labels.get(cell.content), after: choose(cell) }))
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
    if (label === undefined) labels.delete(cell.content);
    else labels.set(cell.content, label);
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
    const kept = [...[...labels].map(([content, label]) => [content, label, DATA.network]), ...aside];
    if (kept.length) localStorage.setItem(STORE, JSON.stringify(kept));
    else localStorage.removeItem(STORE);
    stored = true;
  } catch {
    stored = false;
  }
  byId("warning").hidden = stored;
  byId("warning").textContent = "This browser does not keep your labels: download them before you close the page.";
}

// Entries are [content, label, network]; of pages made before they are [file, label], which tells no picture.
function recall() {
  labels.clear();
  aside = [];
  const here = new Set(CELLS.map((cell) => cell.content));
  try {
    for (const entry of JSON.parse(localStorage.getItem(STORE) ?? "[]")) {
      const [content, label, network] = entry;
      if (network === DATA.network && here.has(content)) {
        labels.set(content, label);
        addClass(label);
      } else aside.push(entry);
    }
  } catch {
    stored = false;
  }
  showAside();
}

// For good: `undo` knows the labels of this page's cells only.
function forgetAside() {
  aside = [];
  store();
  showAside();
}

function showAside() {
  byId("aside").hidden = !aside.length;
  const what = aside.length === 1 ? "1 label was" : `${whole(aside.length)} labels were`;
  byId("aside-text").textContent = `${what} given on this page to other pictures, or when another network had predicted. They are left aside: not shown, not counted, not in the file.`;
}
