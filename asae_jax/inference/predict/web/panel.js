// The current cell from near, and the classes to choose from.
const panel = byId("panel");
const list = byId("classes");
const SUGGESTIONS = 5; // at most
let offered = []; // classes as listed
let marked = -1; // place in `offered` that Enter takes, while typing

function showPanel() {
  const cell = order[current];
  panel.hidden = !cell;
  if (!cell) return;
  const cells = acted();
  const many = cells.length > 1;
  const states = cells.map(stateOf);
  const code = states[0] === "open" ? cell.predicted : labelOf(cell) || reasonOf(cell);
  byId("panel-title").textContent = many ? `${whole(cells.length)} cells` : code;
  byId("full-name").textContent = many ? "" : fullName(code);
  showNear(cell);
  byId("said").replaceChildren(...(many ? selectionSentences(cells) : sentences(cell)).map(paragraph));
  showSimilar(cell);
  byId("path").textContent = cell.path;
  byId("of-group").textContent = cell.group ? `Group ${DATA.counts[cell.group].group}: ` : "";
  byId("keep").disabled = !many && (states[0] === "kept" || states[0] === "changed") && decisions.get(cell.content).reviewer === reviewer;
  byId("drop").disabled = cells.every((cell) => reasonOf(cell) === LEFT_OUT);
  byId("artefact").disabled = cells.every(isArtefact);
  byId("clear").disabled = states.every((state) => state === "open");
  byId("clear-selection").hidden = !selected.size;
  offer();
}

function paragraph(text) {
  const element = document.createElement("p");
  element.textContent = text;
  return element;
}

// What is known of a cell, each value beside what it is measured by.
function sentences(cell) {
  const state = stateOf(cell);
  const limits = DATA.thresholds;
  const found = [`Predicted ${cell.predicted}: ${besideNeeded(cell.sure, limits?.certainty)}.`];
  if (cell.set && cell.set.length !== 1) found.push(possible(cell.set.map((label) => DATA.classes[label])));
  if (cell.unlike) found.push(`Unlike the training cells${outlierText(cell)}.`);
  else if (cell.outlier_score !== undefined && limits?.outlier != null) found.push(`Like the training cells${outlierText(cell)}.`);
  if (cell.at) found.push(`At ${cell.at}.`);
  if (SAID[state]) {
    const { reviewer: by, reviewed } = decisions.get(cell.content);
    const when = reviewed && new Date(reviewed).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
    const what = state === "out" ? reasonOf(cell) : SAID[state];
    found.push(`${by || "You"}: ${what}${when ? `, ${when}` : ""}.`);
  }
  return found;
}

// "82 %, needs 91 %"; with as many decimals as it takes to tell the two apart.
function besideNeeded(share, needed) {
  if (needed == null) return rounded(share);
  if (needed > 1) return `${rounded(share)}; no certainty is enough`;
  let digits = 0;
  const text = (value) => `${(100 * value).toFixed(digits)}\u00a0%`;
  while (digits < 2 && (text(share) === text(needed) || (share < 1 && text(share) === "100\u00a0%"))) digits++;
  return `${text(share)}, needs ${text(needed)}`;
}

function outlierText(cell) {
  const limit = DATA.thresholds?.outlier;
  if (cell.outlier_score === undefined || limit == null) return "";
  return `: ${cell.outlier_score.toFixed(2)}, limit ${limit.toFixed(2)}`;
}

// The classes that cannot be excluded, in words. One alone is the prediction: nothing is said of it.
function possible(names) {
  if (!names.length) return "No class fits well.";
  return `Could be ${names.slice(0, -1).join(", ")} or ${names.at(-1)}.`;
}

function selectionSentences(cells) {
  const counts = new Map();
  for (const cell of cells) {
    const name = labelOf(cell) || reasonOf(cell);
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const listed = [...counts].sort((a, b) => b[1] - a[1]).map(([name, n]) => `${name} ${whole(n)}`);
  return [`Now: ${listed.join(", ")}.`, "What you choose applies to all of them."];
}

// The training cells of the most similar features, where the run keeps them.
function showSimilar(cell) {
  byId("similar").hidden = !cell.near?.length || selected.size > 1;
  if (byId("similar").hidden) return;
  byId("similar-cells").replaceChildren(
    ...cell.near.map(([number, cosine]) => {
      const element = byId("similar-cell").content.firstElementChild.cloneNode(true);
      const [image, name, share] = element.children;
      const label = DATA.classes[DATA.training[number]];
      showJpeg(image, training[number]);
      image.alt = `Training cell, ${inFull(label)}`;
      name.textContent = label;
      share.textContent = cosine.toFixed(2);
      element.classList.toggle("other", label !== cell.predicted);
      element.title = `${inFull(label)}, similarity ${cosine.toFixed(2)} (1: the same)`;
      return element;
    }),
  );
}

// The classes that fit what is typed, which Enter takes the first of: one so called before those that begin with it.
function classesLike(text) {
  // Of a full name the beginning of a word: "blast" is no erythroblast.
  const code = plainName(text);
  const fits = (name) => plainName(name).includes(code) || ` ${folded(fullName(name))}`.includes(` ${text}`);
  const begins = (name) => !plainName(name).startsWith(code);
  const isOther = (name) => plainName(name) !== code;
  const found = classes.filter(fits);
  return text ? found.sort((a, b) => isOther(a) - isOther(b) || begins(a) - begins(b)) : found;
}

// Lists the classes that fit what is typed; all where nothing is.
function offer() {
  const typed = byId("typed").value.trim().normalize("NFC");
  const text = folded(typed);
  offered = classesLike(text);
  const known = classes.some((name) => plainName(name) === plainName(typed));
  if (typed && !known && isPrintable(typed)) offered.push(typed);
  if (text.length > 1) offered.push(...suggested(text).filter((name) => !offered.includes(name)));
  marked = typed && offered.length ? 0 : -1;
  list.replaceChildren(...offered.map(option));
  mark();
}

// Known cells that are no class of this page, so that one who types a part of a name need not invent one.
function suggested(text) {
  const taken = new Set(classes.map((code) => plainName(fullName(code) || code)));
  const names = [...new Set([...KNOWN.values()].map(([name]) => name))];
  const fits = (name) => ` ${name.toLowerCase()}`.includes(` ${text}`) && !taken.has(plainName(name));
  return names.filter(fits).slice(0, SUGGESTIONS);
}

function option(name, place) {
  const cell = order[current];
  const element = byId("option").content.firstElementChild.cloneNode(true);
  const [bar, key, text, full, share] = element.children;
  const isNew = !classes.includes(name);
  const many = selected.size > 1;
  const p = many ? undefined : cell.p[DATA.classes.indexOf(name)];
  element.id = `class-${place}`;
  element.dataset.label = name;
  element.classList.toggle("new", isNew);
  element.classList.toggle("now", !many && labelOf(cell) === name);
  element.classList.toggle("seen", !many && labels.get(cell.content) === name);
  key.textContent = keyOf(name);
  text.textContent = isNew ? `new class “${name}”` : name;
  full.textContent = fullName(name);
  element.title = inFull(name);
  share.textContent = p === undefined ? "" : rounded(p);
  bar.style.width = `${100 * (p ?? 0)}%`;
  return element;
}

function mark() {
  [...list.children].forEach((element, place) => {
    element.setAttribute("aria-selected", place === marked);
    if (place === marked) element.scrollIntoView({ block: "nearest" });
  });
  if (marked < 0) byId("typed").removeAttribute("aria-activedescendant");
  else byId("typed").setAttribute("aria-activedescendant", `class-${marked}`);
}

function typeKey(event) {
  if (event.isComposing) return; // Enter then takes what an input method proposes
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step && offered.length) {
    marked = (marked + step + offered.length) % offered.length;
    mark();
  } else if (event.key === "Enter" && marked >= 0) {
    label(offered[marked], { onward: true });
  } else if (event.key === "Escape") {
    byId("typed").value = "";
    moveTo(current);
  } else return;
  event.preventDefault();
}

// At the foot of a narrow window the panel covers a part of it.
const panelCovers = () => matchMedia("(max-width: 860px)").matches;

function visibleBottom() {
  return panelCovers() && !panel.hidden && !isLarge() ? panel.getBoundingClientRect().top : innerHeight;
}
