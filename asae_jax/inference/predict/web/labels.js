// What a person said: content of a picture -> class, or "" for a cell to leave out; no entry where nobody has looked.
// A picture that comes twice has one label.
const labels = new Map();
// The rest of it: content -> {label, reason, reviewer, reviewed, proposed}; `reason` of a cell left out, `reviewed` in
// UTC, `proposed` the class that was predicted then, not known of pages made before.
const decisions = new Map();
let reviewer = "";
// What was said on this page of other pictures, of another network's predictions, or of cells that it has no room for
// now: kept, not applied.
let aside = [];
const WITHOUT_ROOM = new Set(DATA.without_room); // beginnings of the contents of predicted cells
const done = [];
const undone = [];
const listeners = [];
// Under what names the browser keeps what was said on a page: labels, steps, the specimen, while a file has all of its
// labels that it has, typed classes in the order of their keys, and of which cells it took former labels over.
function namesOf(page) {
  const name = `asae-predict ${page}`;
  const of = ["specimen", "downloaded", "classes", "taken"].map((what) => `${name} ${what}`);
  return [name, `asae-predict-steps ${page}`, ...of];
}
const [STORE, STEPS, SPECIMEN_STORE, DOWNLOADED, TYPED, TAKEN] = namesOf(DATA.page);
// Earlier versions knew the page by its path. What is kept there of this page's cells is taken over once, and stays
// there, as another page may have that name: one that was moved, or was here before.
const FORMERS = (DATA.former ?? []).map(namesOf);
const takenOver = new Set(); // network and content of each entry
let formerSteps = []; // names of the steps of those that are taken over now
const HERE = new Map(CELLS.map((cell) => [cell.content, cell]));
const REVIEWER = "asae-reviewer";
const MOST_STEPS = 100; // kept in the browser
const MOST_CHANGES = 6000; // in all these steps, of about 100 bytes each
let stored = true;
let downloaded = true;

// The same network may propose another class once it is tested otherwise, as with --tta: a label is accepted or not by
// what its reviewer saw.
const proposalOf = (cell) => decisions.get(cell.content)?.proposed ?? cell.predicted;
const labelOf = (cell) => labels.get(cell.content) ?? cell.predicted;
const reasonOf = (cell) => decisions.get(cell.content)?.reason ?? "";

function stateOf(cell) {
  const label = labels.get(cell.content);
  if (label === undefined) return "open";
  if (label === "") return "out";
  return label === proposalOf(cell) ? "kept" : "changed";
}

// What is kept of a choice: who made it, when, and on what proposal, too. `choice` is a label, {label, reason}, undefined to forget, or a
// decision that stays as it is.
function decide(choice, reviewed, proposed) {
  if (choice === undefined || choice.reviewed !== undefined) return choice;
  const { label, reason } = typeof choice === "string" ? { label: choice } : choice;
  return { label, reason: label === "" ? reason || "left out" : "", reviewer, reviewed, proposed };
}

const isSame = (a, b) =>
  a === b || Boolean(a && b && a.label === b.label && a.reason === b.reason && a.reviewer === b.reviewer);

// One step, to be taken back as one: `choose` gives a cell's new choice, see `decide`. Returns the number of changes.
function say(cells, choose) {
  const reviewed = `${new Date().toISOString().slice(0, 19)}Z`;
  const changes = cells
    .map((cell) => ({ cell, before: decisions.get(cell.content), after: decide(choose(cell), reviewed, cell.predicted) }))
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
  setDownloaded(false);
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

// Whoever gives a name on this page has given its labels without one too. A name that was given on another page signs
// none by itself, as somebody else may have worked here: see `showUnsigned`.
function setReviewer(name) {
  reviewer = name.trim();
  if (reviewer) sign();
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
  if (!nameless.length) return;
  setDownloaded(false);
  keep();
}

function showUnsigned() {
  const nameless = reviewer ? [...decisions.values()].filter((said) => !said.reviewer).length : 0;
  byId("unsigned").hidden = !nameless;
  const what = nameless === 1 ? "1 label of this page has" : `${whole(nameless)} labels of this page have`;
  byId("unsigned-text").textContent = `${what} no reviewer's name.`;
  byId("sign").textContent = `Sign as ${reviewer}`;
}

// Written at once, but where that takes longer than a key: then when the keys have stopped.
const MOST_AT_ONCE = 1000;
let waiting = 0;

function keep() {
  clearTimeout(waiting);
  if (decisions.size + aside.length <= MOST_AT_ONCE) store();
  else waiting = setTimeout(store, 200);
}

// Steps give way to labels where the browser has no room for both, those of other pages first.
function store() {
  clearTimeout(waiting);
  waiting = 0;
  const entries = [...decisions].map(([content, said]) => [content, said.label, DATA.network, ...detail(said)]);
  const all = [...entries, ...aside];
  write(TYPED, typedClasses());
  stored = write(STORE, all) || (forgetOtherSteps() && write(STORE, all)) || (write(STEPS, []) && write(STORE, all));
  if (stored && !write(STEPS, storedSteps()) && !(forgetOtherSteps() && write(STEPS, storedSteps()))) write(STEPS, []);
  if (stored) write(TAKEN, [...takenOver]);
  byId("warning").hidden = stored;
  byId("warning").textContent = "This browser does not keep your labels: download them before you close the page.";
  showFull();
}

// Names in the browser's store, in which all pages of this program keep what was said on them.
function storedNames() {
  try {
    return Array.from({ length: localStorage.length }, (_, number) => localStorage.key(number));
  } catch {
    return [];
  }
}

// Whether there were any.
function forgetOtherSteps() {
  const names = storedNames().filter((name) => name.startsWith("asae-predict-steps ") && name !== STEPS);
  return names.map((name) => write(name, [])).length > 0;
}

function setDownloaded(now) {
  downloaded = now;
  write(DOWNLOADED, now && !aside.length ? [1] : []);
}

// Other pages whose labels are all in files that were downloaded since.
function downloadedElsewhere() {
  const marks = storedNames().map((name) => /^asae-predict (\S+) downloaded$/.exec(name));
  return marks.flatMap((found) => (found && ![DATA.page, ...(DATA.former ?? [])].includes(found[1]) ? [found[1]] : []));
}

function showFull() {
  const pages = stored ? 0 : downloadedElsewhere().length;
  byId("full").hidden = !pages;
  const what = pages === 1 ? "1 other page, which" : `${whole(pages)} other pages, all of which`;
  byId("full-text").textContent = `The browser's store is full. It also keeps the labels of ${what} you have downloaded.`;
}

// For good: only the downloaded files have these labels then.
function makeRoom() {
  for (const page of downloadedElsewhere()) {
    for (const name of namesOf(page)) write(name, []);
  }
  store();
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

const detail = (said) => [said.reason, said.reviewer, said.reviewed, ...(said.proposed === undefined ? [] : [said.proposed])];
const packed = (said) => (said === undefined ? 0 : [said.label, ...detail(said)]);
const unpacked = (said) =>
  said ? { label: said[0], reason: said[1], reviewer: said[2], reviewed: said[3], proposed: said[4] } : undefined;

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

// The list of that name in the browser's store; empty where there is none.
const storedList = (name) => JSON.parse(localStorage.getItem(name) ?? "[]");

// What is kept of this page, with what earlier versions kept of the same cells; what was said later goes before it.
function keptEntries() {
  const own = storedList(STORE);
  const nameOf = ([content, , network]) => `${network} ${content}`;
  takenOver.clear();
  for (const name of storedList(TAKEN)) takenOver.add(name);
  const known = new Set([...own.map(nameOf), ...takenOver]);
  const isHere = (entry) => (entry[2] === DATA.network && HERE.has(entry[0])) || hasNoRoom(entry);
  const former = [];
  formerSteps = [];
  for (const [name, steps] of FORMERS) {
    const taken = storedList(name).filter((entry) => isHere(entry) && !known.has(nameOf(entry)));
    if (taken.length) formerSteps.push(steps);
    for (const cell of taken.map(nameOf)) {
      known.add(cell);
      takenOver.add(cell);
    }
    former.push(...taken);
  }
  return [...former, ...own];
}

// Steps of other pictures or of another network are not.
const areOurs = ([network, ...steps]) =>
  network === DATA.network && steps.every((step) => step.every(([content]) => HERE.has(content)));

// Those that led to labels that are taken over come with them.
function recallSteps() {
  done.length = undone.length = 0;
  const names = localStorage.getItem(STEPS) === null ? formerSteps : [STEPS];
  const [, ...steps] = names.map(storedList).find(areOurs) ?? [];
  for (const step of steps) {
    done.push(
      step.map(([content, before, after]) => ({ cell: HERE.get(content), before: unpacked(before), after: unpacked(after) })),
    );
  }
}

// Entries are [content, label, network, reason, reviewer, reviewed, proposed]; of pages made before they lack the last
// one or four, or are [file, label], which tells no picture.
function recall() {
  labels.clear();
  decisions.clear();
  aside = [];
  try {
    reviewer = localStorage.getItem(REVIEWER) ?? "";
    storedList(TYPED).forEach(addKey);
    for (const entry of keptEntries()) {
      const [content, label, network, reason = "", by = "", reviewed = "", proposed] = entry;
      if (network === DATA.network && HERE.has(content)) {
        const why = label === "" ? reason || "left out" : "";
        setDecision(content, { label, reason: why, reviewer: by, reviewed, proposed });
      } else aside.push(entry);
    }
    recallSteps();
  } catch {
    stored = false;
  }
  showAside();
}

// Whether an entry set aside is of a cell of this input, as this network predicted it, that did not fit on the page.
const hasNoRoom = ([content, , network]) =>
  network === DATA.network && WITHOUT_ROOM.has(content.slice(0, DATA.content_digits));

// [{cell, said}] of what is left aside of pictures on this page: what an earlier network's page was told of them, the
// last of each, as the columns of a file have it.
function asideHere() {
  const entries = aside.filter((entry) => !hasNoRoom(entry) && HERE.has(entry[0]));
  entries.sort((a, b) => (a[5] ?? "").localeCompare(b[5] ?? ""));
  const last = new Map(entries.map((entry) => [entry[0], entry]));
  return CELLS.filter((cell) => last.has(cell.content)).map((cell) => {
    const [, label, run, why, reviewer, reviewed, predicted] = last.get(cell.content);
    const reason = label === "" ? why || "left out" : "";
    return { cell, said: { label, run, reason, reviewer, reviewed, predicted: predicted ?? "" } };
  });
}

// For good: `undo` knows the labels of this page's cells only.
function forgetAside() {
  aside = aside.filter(hasNoRoom);
  store();
  showAside();
}

function showAside() {
  const roomless = aside.filter(hasNoRoom).length;
  const others = aside.length - roomless;
  const given = (number) => `${number === 1 ? "1 label was" : `${whole(number)} labels were`} given on this page to`;
  const left = "not shown, not counted, not in the file";
  byId("aside").hidden = !others;
  byId("aside-text").textContent = `${given(others)} other pictures, or when another network had predicted. They are left aside: ${left}.`;
  byId("rescue").hidden = !asideHere().length;
  byId("no-room").hidden = !roomless;
  byId("no-room").textContent = `${given(roomless)} cells that it has no room for now. They are kept, but ${left}. They come back on a page of more cells (predict.page_cells).`;
}
