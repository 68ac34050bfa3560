// What pointers, keys and choices do.
let kept = false; // whether the chosen cell stays when the pointer goes on

function choose(cell, keep) {
  if (cell === chosen && keep === kept) return;
  chosen = cell;
  kept = keep && cell !== UNKNOWN;
  show(cell);
  if (kept) bringIntoView(cell);
  draw();
}

function colour() {
  way = DATA.ways[byId("way").value];
  hidden.clear();
  recolour();
}

function recolour() {
  readEdge();
  styles = stylesOf(way);
  byId("legend").replaceChildren(...legendOf(way, hidden, toggle));
  draw();
}

function toggle(number) {
  if (!hidden.delete(number)) hidden.add(number);
  draw();
}

const pointers = new Map();
let moved = false;

function at(event) {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left - canvas.clientLeft, event.clientY - box.top - canvas.clientTop];
}

const apart = ([[ax, ay], [bx, by]]) => Math.hypot(ax - bx, ay - by);

function hover(event) {
  if (event.pointerType !== "mouse" || kept) return;
  choose(pointAt(...at(event), REACH.mouse), false);
}

function drag(event) {
  const before = [...pointers.values()];
  const [x, y] = at(event);
  const [lastX, lastY] = pointers.get(event.pointerId);
  if (Math.hypot(x - lastX, y - lastY) > 3) moved = true;
  if (!moved) return;
  pointers.set(event.pointerId, [x, y]);
  if (pointers.size === 2) {
    const [[ax, ay], [bx, by]] = pointers.values();
    zoomBy(apart([...pointers.values()]) / (apart(before) || 1), (ax + bx) / 2, (ay + by) / 2);
  } else moveBy(x - lastX, y - lastY);
}

canvas.addEventListener("pointerdown", (event) => {
  pointers.set(event.pointerId, at(event));
  moved = pointers.size > 1;
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointermove", (event) => (pointers.has(event.pointerId) ? drag(event) : hover(event)));
canvas.addEventListener("pointerup", (event) => {
  pointers.delete(event.pointerId);
  if (moved) return;
  const reach = event.pointerType === "mouse" ? REACH.mouse : REACH.touch;
  choose(pointAt(...at(event), reach), true);
});
canvas.addEventListener("pointercancel", (event) => pointers.delete(event.pointerId));
canvas.addEventListener("pointerleave", () => kept || choose(UNKNOWN, false));
canvas.addEventListener(
  "wheel",
  (event) => {
    event.preventDefault();
    zoomBy(Math.exp(-event.deltaY / 400), ...at(event));
  },
  { passive: false },
);

const MOVES = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const ZOOMS = { "+": 1.5, "=": 1.5, "-": 1 / 1.5, 0: 0 };
canvas.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (MOVES[event.key]) {
    const next = towards(...MOVES[event.key]);
    if (next !== UNKNOWN) choose(next, true);
  } else if (event.key in ZOOMS) zoomBy(ZOOMS[event.key]);
  else if (event.key === "Escape") choose(UNKNOWN, false);
  else return;
  event.preventDefault();
});

byId("in").addEventListener("click", () => zoomBy(1.5));
byId("out").addEventListener("click", () => zoomBy(1 / 1.5));
byId("all").addEventListener("click", () => zoomBy(0));
byId("way").addEventListener("change", colour);
byId("tools").addEventListener("submit", (event) => event.preventDefault());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
new ResizeObserver(draw).observe(canvas);
colour();
