// The cells that keys and buttons act on: those selected, or else the current one.
const LONG_PRESS = 500; // ms
const EDGE = 40; // pixels at the window's edges within which a box scrolls
const selected = new Set();
let anchor = -1; // place that Shift selects from
let selecting = false; // whether a tap adds a cell or takes it away
let box = null; // being drawn, in the gallery's coordinates
let boxed = false; // the click that ends a box or a long press chooses no cell

function acted() {
  if (selected.size) return order.filter((cell) => selected.has(cell));
  return current < 0 ? [] : [order[current]];
}

function selectOnly(cells) {
  selected.clear();
  for (const cell of cells) selected.add(cell);
  update();
}

function clearSelection() {
  anchor = current;
  if (selected.size) selectOnly([]);
}

// From where Shift was first held to `place`.
function selectTo(place) {
  if (anchor < 0) anchor = Math.max(current, 0);
  selectOnly(order.slice(Math.min(anchor, place), Math.max(anchor, place) + 1));
}

function toggle(place) {
  const cell = order[place];
  if (!selected.delete(cell)) selected.add(cell);
  anchor = place;
  moveTo(place);
  tellSelection();
}

function selectAll() {
  selectOnly(order);
  tellSelection();
}

function tellSelection() {
  byId("heard").textContent = `${whole(selected.size)} cell${selected.size === 1 ? "" : "s"} selected`;
}

function setSelecting(on) {
  selecting = on;
  byId("select").setAttribute("aria-pressed", on);
}

// What the buttons do: taps choose one cell again. On a small screen the button Select is far away.
function selectNone() {
  setSelecting(false);
  clearSelection();
}

// Those of a filter that hides them are no longer selected: nothing is labelled that is not shown.
function dropHidden() {
  const shown = new Set(order);
  for (const cell of selected) if (!shown.has(cell)) selected.delete(cell);
  anchor = current;
}

// Places in `order` whose cells touch a box. `rows` as in gallery.js; `wide` is the gallery's width.
function placesIn({ left, right, top, bottom }, rows, columns, wide) {
  const pitch = (wide + gap) / columns;
  const found = [];
  for (const row of rows) {
    if (row.from === undefined || row.top > bottom || row.top + row.height - gap < top) continue;
    for (let place = row.from; place < row.to; place++) {
      const start = (place - row.from) * pitch;
      if (start <= right && start + pitch - gap >= left) found.push(place);
    }
  }
  return found;
}

function inGallery(event) {
  const edge = gallery.getBoundingClientRect();
  return [event.clientX - edge.left, event.clientY - edge.top];
}

// A box begins on empty space, or anywhere with Shift.
function startBox(event) {
  if (event.pointerType !== "mouse" || event.button !== 0) return;
  if (event.target.closest(".cell") && !event.shiftKey) return;
  const adds = event.shiftKey || event.ctrlKey || event.metaKey;
  box = { from: inGallery(event), last: event, moved: false, before: adds ? [...selected] : [], onCell: event.target.closest(".cell") };
  addEventListener("pointermove", moveBox);
  addEventListener("pointerup", endBox);
  addEventListener("pointercancel", endBox);
}

function moveBox(event) {
  box.last = event;
  const [x, y] = inGallery(event);
  if (!box.moved && Math.hypot(x - box.from[0], y - box.from[1]) < 6) return;
  if (!box.moved) scrollWithBox();
  box.moved = true;
  drawBox();
}

const drawBox = onceAFrame(() => {
  if (!box?.moved) return;
  const [x, y] = inGallery(box.last);
  const edges = {
    left: Math.min(x, box.from[0]),
    right: Math.max(x, box.from[0]),
    top: Math.min(y, box.from[1]),
    bottom: Math.max(y, box.from[1]),
  };
  const style = byId("box").style;
  byId("box").hidden = false;
  style.left = `${edges.left}px`;
  style.top = `${edges.top}px`;
  style.width = `${edges.right - edges.left}px`;
  style.height = `${edges.bottom - edges.top}px`;
  const inside = placesIn(edges, rows, columns, gallery.clientWidth).map((place) => order[place]);
  selectOnly([...box.before, ...inside]);
});

function scrollWithBox() {
  requestAnimationFrame(() => {
    if (!box) return;
    const y = box.last.clientY;
    const step = y < EDGE ? y - EDGE : y > innerHeight - EDGE ? y - innerHeight + EDGE : 0;
    if (step) {
      scrollBy(0, step / 2);
      drawBox();
    }
    scrollWithBox();
  });
}

function endBox() {
  removeEventListener("pointermove", moveBox);
  removeEventListener("pointerup", endBox);
  removeEventListener("pointercancel", endBox);
  byId("box").hidden = true;
  const { moved, onCell } = box;
  box = null;
  if (moved) {
    boxed = true;
    const first = order.findIndex((cell) => selected.has(cell));
    if (first >= 0) {
      anchor = first;
      if (!selected.has(order[current])) current = first;
    }
    tellSelection();
    draw();
    gallery.querySelector(`[data-place="${current}"]`)?.focus({ preventScroll: true });
    update();
  } else if (!onCell) clearSelection();
}

// On a touch screen a long press selects, and taps then add and take away.
let pressed = 0;

function startPress(event) {
  clearTimeout(pressed);
  boxed = false;
  const cell = event.target.closest(".cell");
  if (event.pointerType === "mouse" || !cell || selecting) return;
  pressed = setTimeout(() => {
    boxed = true;
    setSelecting(true);
    toggle(Number(cell.dataset.place));
  }, LONG_PRESS);
}

gallery.addEventListener("pointerdown", startBox);
gallery.addEventListener("pointerdown", startPress);
for (const end of ["pointerup", "pointercancel", "pointermove"]) {
  gallery.addEventListener(end, (event) => {
    if (end !== "pointermove" || Math.hypot(event.movementX, event.movementY) > 3) clearTimeout(pressed);
  });
}
gallery.addEventListener("contextmenu", (event) => {
  if (event.pointerType === "touch" && event.target.closest(".cell")) event.preventDefault();
});
byId("select").addEventListener("click", () => {
  setSelecting(!selecting);
  if (!selecting) clearSelection();
});
byId("select-all").addEventListener("click", selectAll);
byId("select-none").addEventListener("click", selectNone);
