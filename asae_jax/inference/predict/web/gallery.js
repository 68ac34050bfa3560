// The cells, of which only those in view are in the document: thousands cost no more than a screenful.
const MARGIN = 600; // pixels above and below the window that are drawn ahead
const gallery = byId("gallery");
const gap = 8;
const THUMBNAIL = [100, 100]; // the square that small pictures show, for the contours over them
let parts = []; // sections, see view.js
let order = []; // cells in the order shown
let rows = []; // {top, height, name, count} of a heading, or {top, height, from, to} of places in `order`
let columns = 1;
let current = -1; // place in `order`; -1: none
let rowSizes = { cell: 0, head: 0 };
const drawn = new Map(); // number of a row -> its element

// Draws anew what the filters choose. The cell that was current stays so where it is still shown; else it is the
// first, unless its panel would lie over the others.
function show() {
  const cell = order[current];
  parts = sections();
  order = parts.flatMap((part) => part.cells);
  current = order.indexOf(cell);
  if (current < 0 && order.length && !panelCovers()) current = 0;
  dropHidden();
  layOut();
  showPanel();
  byId("again").hidden = true;
  showStatus();
}

function layOut() {
  measure();
  rows = [];
  let top = 0;
  let from = 0;
  for (const { name, cells } of parts) {
    if (name) top = addRow(top, rowSizes.head, { name: inFull(name), count: cells.length });
    for (const end = from + cells.length; from < end; from = Math.min(from + columns, end)) {
      top = addRow(top, rowSizes.cell, { from, to: Math.min(from + columns, end) });
    }
  }
  gallery.style.height = `${top}px`;
  gallery.setAttribute("aria-rowcount", rows.length);
  gallery.setAttribute("aria-colcount", columns);
  const focused = gallery.contains(document.activeElement);
  for (const element of drawn.values()) element.remove();
  drawn.clear();
  draw();
  if (focused && current >= 0) gallery.querySelector(`[data-place="${current}"]`).focus({ preventScroll: true });
}

function addRow(top, height, row) {
  rows.push({ top, height, ...row });
  return top + height;
}

// Sizes depend on the window and on the size of text that the reader has chosen.
function measure() {
  const style = getComputedStyle(gallery);
  const narrowest = parseFloat(style.getPropertyValue("--cell"));
  columns = Math.max(1, Math.floor((gallery.clientWidth + gap) / (narrowest + gap)));
  gallery.style.setProperty("--columns", columns);
  const row = document.createElement("div");
  row.setAttribute("role", "row");
  row.append(byId("cell").content.cloneNode(true));
  gallery.append(row);
  rowSizes = { cell: row.getBoundingClientRect().height + gap, head: parseFloat(style.fontSize) * 2.6 };
  row.remove();
}

// Puts the rows near the window into the document and takes the others out, but for the one with the focus.
function draw() {
  const seen = -gallery.getBoundingClientRect().top;
  const first = rowAt(seen - MARGIN);
  const last = rowAt(seen + innerHeight + MARGIN);
  const focused = rowOf(current);
  for (const [number, element] of drawn) {
    if ((number < first || number > last) && number !== focused) {
      element.remove();
      drawn.delete(number);
    }
  }
  for (let number = first; number <= last; number++) drawRow(number);
  if (focused >= 0) drawRow(focused);
}

// The last row that starts at or above `top`.
function rowAt(top) {
  let low = 0;
  let high = rows.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (rows[middle].top <= top) low = middle;
    else high = middle - 1;
  }
  return low;
}

function rowOf(place) {
  return place < 0 ? -1 : rows.findLastIndex((row) => row.from <= place);
}

function drawRow(number) {
  if (drawn.has(number) || !rows[number]) return;
  const row = rows[number];
  const element = document.createElement("div");
  element.setAttribute("role", "row");
  element.setAttribute("aria-rowindex", number + 1);
  element.style.top = `${row.top}px`;
  if (row.name === undefined) {
    for (let place = row.from; place < row.to; place++) element.append(drawCell(place));
  } else {
    const head = document.createElement("h3");
    head.setAttribute("role", "rowheader");
    head.textContent = `${row.name} · ${whole(row.count)}`;
    element.append(head);
  }
  // In reading order, for those who go through the document.
  const next = [...drawn.keys()].filter((other) => other > number).sort((a, b) => a - b)[0];
  gallery.insertBefore(element, next === undefined ? null : drawn.get(next));
  drawn.set(number, element);
}

function drawCell(place) {
  const cell = order[place];
  const element = byId("cell").content.firstElementChild.cloneNode(true);
  element.dataset.place = place;
  showPicture(element.querySelector("img"), cell);
  if (byId("attention").checked) showLines(element.querySelector("svg"), cell, THUMBNAIL);
  const flag = element.querySelector(".flag");
  flag.textContent = cell.unlike ? "unlike" : cell.unsure ? "unsure" : "";
  element.querySelectorAll("button").forEach((button, rank) => {
    const label = cell.ranked[rank];
    button.hidden = label === undefined;
    if (button.hidden) return;
    const [bar, name, share] = button.children;
    button.dataset.label = DATA.classes[label];
    button.title = `label as ${inFull(DATA.classes[label])}`;
    name.textContent = DATA.classes[label];
    share.textContent = rounded(cell.p[label]);
    bar.style.width = `${100 * cell.p[label]}%`;
  });
  refreshCell(element, place);
  return element;
}

const rounded = (share) => `${share >= 0.995 && share < 1 ? ">99" : Math.round(100 * share)}\u00a0%`;

const SAID = { kept: "accepted", changed: "relabelled", out: "left out" };

// What a label or a move changes.
const isActedOn = (place) => (selected.size ? selected.has(order[place]) : place === current);

function refreshCell(element, place) {
  const cell = order[place];
  const state = stateOf(cell);
  const now = element.querySelector(".now");
  element.dataset.state = state;
  element.tabIndex = place === Math.max(current, 0) ? 0 : -1;
  element.setAttribute("aria-selected", isActedOn(place));
  element.classList.toggle("current", place === current);
  now.textContent = { kept: `✓ ${labelOf(cell)}`, changed: `→ ${labelOf(cell)}`, out: reasonOf(cell) }[state] ?? "";
  if (state === "open") now.textContent = cell.predicted;
  const likely = cell.ranked.slice(0, 3).map((label) => `${DATA.classes[label]} ${rounded(cell.p[label])}`);
  const warning = cell.unlike ? "unlike the training cells. " : cell.unsure ? "not certain. " : "";
  const said = SAID[state] ? `${SAID[state]} ${labels.get(cell.content)}. ` : "";
  element.setAttribute("aria-label", `${said}${likely.join(", ")}. ${warning}${cell.path}`);
}

function refreshCells() {
  for (const element of gallery.querySelectorAll(".cell")) refreshCell(element, Number(element.dataset.place));
}

// Everything that tells of labels and of the current cell, once per frame however fast the keys come.
const update = onceAFrame(() => {
  refreshCells();
  showPanel();
  showYours();
  showStatus();
});

function refreshAttention() {
  document.body.classList.toggle("attention", byId("attention").checked);
  if (!byId("attention").checked) return;
  for (const element of gallery.querySelectorAll(".cell")) {
    showLines(element.querySelector("svg"), order[Number(element.dataset.place)], THUMBNAIL);
  }
}

// Makes a cell the current one, in view and with the focus.
function moveTo(place) {
  if (!order.length) return;
  current = Math.min(Math.max(place, 0), order.length - 1);
  if (panel.hidden) showPanel(); // before anything is measured: it may cover a part of the window
  const row = rows[rowOf(current)];
  const top = gallery.getBoundingClientRect().top + row.top;
  const bottom = visibleBottom();
  if (top < 0) scrollBy(0, top - gap);
  else if (top + row.height > bottom) scrollBy(0, top + row.height - bottom);
  draw();
  const target = isLarge() ? view : gallery.querySelector(`[data-place="${current}"]`);
  target.focus({ preventScroll: true });
  update();
}

// The place in the same column some rows of cells away.
function rowsAway(step) {
  const column = current - rows[rowOf(current)].from;
  let number = rowOf(current);
  for (let left = Math.abs(step); left > 0; left--) {
    let next = number + Math.sign(step);
    while (rows[next] && rows[next].name !== undefined) next += Math.sign(step);
    if (!rows[next]) break;
    number = next;
  }
  return Math.min(rows[number].from + column, rows[number].to - 1);
}

const page = () => Math.max(1, Math.floor((visibleBottom() - gap) / rowSizes.cell));

// What accepting all is about: cells that a person has decided on stay as they are.
const openShown = () => order.filter((cell) => stateOf(cell) === "open");

// Of the group chosen.
function showStatus() {
  const cells = GROUPED[place()];
  const states = { kept: 0, changed: 0, out: 0 };
  for (const cell of cells) if (stateOf(cell) !== "open") states[stateOf(cell)]++;
  const parts = Object.entries(states).filter(([, n]) => n).map(([state, n]) => `${whole(n)} ${SAID[state]}`);
  if (parts.length && UNCERTAINTY) {
    const todo = cells.filter(STATES.todo).length;
    const more = elsewhere(place());
    const all = more ? "all left to a person on this page looked at" : "all left to a person looked at";
    parts.push(todo ? `${whole(todo)} left to a person not looked at yet` : all);
    if (more) parts.push(`${whole(more)} more are not on this page`);
  }
  if (selected.size) parts.unshift(`${whole(selected.size)} selected`);
  byId("select-none").hidden = !selected.size;
  const open = openShown().length;
  const all = open === order.length ? "all" : "the";
  byId("accept").textContent = open ? `Accept ${all} ${whole(open)} not looked at` : "None left to accept";
  byId("accept").disabled = !open;
  const shown = `${whole(order.length)} of ${whole(cells.length)} cells`;
  byId("shown").textContent = [shown, ...parts].join(" · ");
}
