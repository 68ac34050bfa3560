// What a person said: content of a picture -> class, or "" for a cell to leave out; no entry where nobody has looked.
// A picture that comes twice has one label.
const labels = new Map();
// The rest of it: content -> {label, reason, reviewer, reviewed}; `reason` of a cell left out, `reviewed` in UTC.
const decisions = new Map();
let reviewer = "";
// What was said on this page of other pictures, or of another network's predictions: kept, not applied.
let aside = [];
const done = [];
const undone = [];
const listeners = [];
const STORE = `asae-predict ${DATA.page}`;
const STEPS = `asae-predict-steps ${DATA.page}`;
const REVIEWER = "asae-reviewer";
const MOST_STEPS = 100; // kept in the browser
const MOST_CHANGES = 6000; // in all these steps, of about 100 bytes each
let stored = true;
let downloaded = true;

const labelOf = (cell) => labels.get(cell.content) ?? cell.predicted;
const reasonOf = (cell) => decisions.get(cell.content)?.reason ?? "";

function stateOf(cell) {
  const label = labels.get(cell.content);
  if (label === undefined) return "open";
  if (label === "") return "out";
  return label === cell.predicted ? "kept" : "changed";
}

// What is kept of a choice: who made it and when, too. `choice` is a label, {label, reason}, undefined to forget, or a
// decision that stays as it is.
function decide(choice, reviewed) {
  if (choice === undefined || choice.reviewed !== undefined) return choice;
  const { label, reason } = typeof choice === "string" ? { label: choice } : choice;
  return { label, reason: label === "" ? reason || "left out" : "", reviewer, reviewed };
}

const isSame = (a, b) =>
  a === b || Boolean(a && b && a.label === b.label && a.reason === b.reason && a.reviewer === b.reviewer);

// One step, to be taken back as one: `choose` gives a cell's new choice, see `decide`. Returns the number of changes.
function say(cells, choose) {
  const reviewed = `${new Date().toISOString().slice(0, 19)}Z`;
  const changes = cells
    .map((cell) => ({ cell, before: decisions.get(cell.content), after: decide(choose(cell), reviewed) }))
    .filter(({ before, after }) => !isSame(before, after));
  if (!changes.length) return 0;
  done.push(changes);
  undone.length = 0;
  apply(changes, "after");
  return changes.length;
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
  for (const { cell, [when]: decision } of changes) setDecision(cell.content, decision);
  downloaded = false;
  keep();
  for (const listener of listeners) listener();
}

function setDecision(content, decision) {
  if (decision === undefined) {
    labels.delete(content);
    decisions.delete(content);
  } else {
    labels.set(content, decision.label);
    decisions.set(content, decision);
    addClass(decision.label);
  }
}

// Whoever gives a name after the first labels has given these too.
function setReviewer(name) {
  const isFirst = !reviewer;
  reviewer = name.trim();
  if (isFirst && reviewer) sign();
  try {
    localStorage.setItem(REVIEWER, reviewer);
  } catch {
    // The name is then asked for again; labels carry it all the same.
  }
}

// Decisions that nobody has signed are the reviewer's, here and where a step brings them back.
function sign() {
  const steps = [...done, ...undone].flat().flatMap(({ before, after }) => [before, after]);
  const nameless = [...decisions.values(), ...steps].filter((said) => said && !said.reviewer);
  for (const said of nameless) said.reviewer = reviewer;
  if (nameless.length) keep();
}

// Written at once, but where that takes longer than a key: then when the keys have stopped.
const MOST_AT_ONCE = 1000;
let waiting = 0;

function keep() {
  clearTimeout(waiting);
  if (decisions.size + aside.length <= MOST_AT_ONCE) store();
  else waiting = setTimeout(store, 200);
}

function store() {
  clearTimeout(waiting);
  const entries = [...decisions].map(([content, said]) => [content, said.label, DATA.network, ...detail(said)]);
  stored = write(STORE, [...entries, ...aside]);
  // Steps give way to labels where the browser has no room for both.
  if (!stored && write(STEPS, [])) stored = write(STORE, [...entries, ...aside]);
  else if (stored && !write(STEPS, storedSteps())) write(STEPS, []);
  byId("warning").hidden = stored;
  byId("warning").textContent = "This browser does not keep your labels: download them before you close the page.";
}

// Whether it could be written; an empty list takes no room.
function write(key, list) {
  try {
    if (list.length) localStorage.setItem(key, JSON.stringify(list));
    else localStorage.removeItem(key);
    return true;
  } catch {
    return false;
  }
}

const detail = (said) => [said.reason, said.reviewer, said.reviewed];
const packed = (said) => (said === undefined ? 0 : [said.label, ...detail(said)]);
const unpacked = (said) => (said ? { label: said[0], reason: said[1], reviewer: said[2], reviewed: said[3] } : undefined);

// The newest steps, to be taken back after the page was opened again: [network, step, ...], a step being
// [content, before, after] of each change.
function storedSteps() {
  const steps = [];
  let changes = 0;
  for (const step of done.slice(-MOST_STEPS).reverse()) {
    changes += step.length;
    if (changes > MOST_CHANGES) break;
    steps.unshift(step.map(({ cell, before, after }) => [cell.content, packed(before), packed(after)]));
  }
  return steps.length ? [DATA.network, ...steps] : [];
}

// Steps of other pictures or of another network are forgotten.
function recallSteps(cells) {
  done.length = undone.length = 0;
  const [network, ...steps] = JSON.parse(localStorage.getItem(STEPS) ?? "[]");
  if (network !== DATA.network || !steps.every((step) => step.every(([content]) => cells.has(content)))) return;
  for (const step of steps) {
    done.push(
      step.map(([content, before, after]) => ({ cell: cells.get(content), before: unpacked(before), after: unpacked(after) })),
    );
  }
}

// Entries are [content, label, network, reason, reviewer, reviewed]; of pages made before they lack the last three, or
// are [file, label], which tells no picture.
function recall() {
  labels.clear();
  decisions.clear();
  aside = [];
  const here = new Map(CELLS.map((cell) => [cell.content, cell]));
  try {
    reviewer = localStorage.getItem(REVIEWER) ?? "";
    for (const entry of JSON.parse(localStorage.getItem(STORE) ?? "[]")) {
      const [content, label, network, reason = "", by = "", reviewed = ""] = entry;
      if (network === DATA.network && here.has(content)) {
        const why = label === "" ? reason || "left out" : "";
        setDecision(content, { label, reason: why, reviewer: by, reviewed });
      } else aside.push(entry);
    }
    recallSteps(here);
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
