// The current cell from near, and the classes to choose from.
const panel = byId("panel");
const list = byId("classes");
let offered = []; // classes as listed
let marked = -1; // place in `offered` that Enter takes, while typing

function showPanel() {
  const cell = order[current];
  panel.hidden = !cell;
  if (!cell) return;
  const state = stateOf(cell);
  byId("panel-title").textContent = state === "open" ? cell.predicted : labelOf(cell) || LEFT_OUT;
  showPicture(byId("plain"), cell);
  showPicture(byId("below"), cell);
  showAttention(byId("above"), cell);
  byId("said").textContent = sentence(cell, state);
  byId("path").textContent = cell.path;
  byId("keep").disabled = state === "kept" || state === "changed";
  byId("drop").disabled = state === "out";
  byId("clear").disabled = state === "open";
  offer();
}

function sentence(cell, state) {
  const parts = [`Predicted ${cell.predicted}, ${rounded(cell.sure)}.`];
  if (SAID[state]) parts.push(`You: ${SAID[state]}.`);
  if (cell.unsure) parts.push("Less certain than the run's threshold.");
  if (cell.unlike) parts.push("Unlike the training images.");
  if (cell.outlier_score !== undefined) parts.push(`Outlier score ${cell.outlier_score}.`);
  if (cell.set) parts.push(`Conformal set: ${cell.set.map((label) => DATA.classes[label]).join(", ") || "empty"}.`);
  if (cell.at) parts.push(`At ${cell.at}.`);
  if (cell.group) parts.push(`Group ${DATA.counts[cell.group].group}.`);
  return parts.join(" ");
}

// Lists the classes that fit what is typed, those that begin with it first; all where nothing is.
function offer() {
  const typed = byId("typed").value.trim();
  const text = typed.toLowerCase();
  const fits = (name) => name.toLowerCase().includes(text);
  const begins = (name) => !name.toLowerCase().startsWith(text);
  offered = classes.filter(fits);
  if (text) offered.sort((a, b) => begins(a) - begins(b));
  const known = classes.some((name) => name.toLowerCase() === text);
  if (typed && !known && isPrintable(typed)) offered.push(typed);
  marked = typed && offered.length ? 0 : -1;
  list.replaceChildren(...offered.map(option));
  mark();
}

function option(name, place) {
  const cell = order[current];
  const element = byId("option").content.firstElementChild.cloneNode(true);
  const [bar, key, text, share] = element.children;
  const number = classes.indexOf(name);
  const p = cell.p[number];
  element.id = `class-${place}`;
  element.dataset.label = name;
  element.classList.toggle("now", labelOf(cell) === name);
  element.classList.toggle("seen", labels.get(cell.content) === name);
  key.textContent = KEYS[number] ?? "";
  text.textContent = number < 0 ? `new class “${name}”` : name;
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
  return panelCovers() && !panel.hidden ? panel.getBoundingClientRect().top : innerHeight;
}
