// The current cell from near: the whole picture, with zoom, and the contours of the attention.
const MOST = 24; // screen pixels to a pixel of the picture, at most
const STEP = 1.25;
const view = byId("view");
const stage = byId("stage");
const fingers = new Map(); // pointer -> where it was last
const near = { size: [1, 1], zoom: 1, x: 0.5, y: 0.5 }; // zoom 1 fits; x, y of the picture are in the view's middle

// Zoom and place stay from cell to cell, so that cells can be compared.
function showNear(cell) {
  const jpeg = wholePicture(cell);
  const isWhole = jpeg !== "-";
  const [width, height] = cell.size;
  const square = Math.min(width, height) || 1;
  near.size = isWhole ? [width, height] : [square, square];
  if (isWhole) showJpeg(byId("plain"), jpeg);
  else showPicture(byId("plain"), cell);
  byId("plain").alt = `The cell, ${cell.path}`;
  showLines(byId("lines"), cell, near.size);
  byId("small").hidden = isWhole;
  placeNear();
}

// Screen pixels to one of the picture when all of it is seen.
function fitting() {
  const [width, height] = near.size;
  return Math.min(view.clientWidth / width, view.clientHeight / height);
}

function placeNear() {
  if (!view.clientWidth) return; // the panel is closed
  const scale = fitting() * near.zoom;
  const [wide, high] = near.size.map((side) => side * scale);
  near.x = held(near.x, view.clientWidth / wide);
  near.y = held(near.y, view.clientHeight / high);
  Object.assign(stage.style, {
    width: `${wide}px`,
    height: `${high}px`,
    left: `${view.clientWidth / 2 - near.x * wide}px`,
    top: `${view.clientHeight / 2 - near.y * high}px`,
  });
  byId("scale").textContent = `${scale < 10 ? scale.toFixed(1) : Math.round(scale)}×`;
  byId("fit").disabled = near.zoom === 1;
}

// A place of the middle at which nothing beside the picture is seen; `part` of the picture is.
function held(middle, part) {
  return part >= 1 ? 0.5 : Math.min(Math.max(middle, part / 2), 1 - part / 2);
}

// Zooms so that what is at `x`, `y` of the view stays there.
function zoomBy(factor, x = view.clientWidth / 2, y = view.clientHeight / 2) {
  const before = fitting() * near.zoom;
  near.zoom = Math.min(Math.max(near.zoom * factor, 1), Math.max(1, MOST / fitting()));
  const after = fitting() * near.zoom;
  const [width, height] = near.size;
  near.x += ((x - view.clientWidth / 2) / width) * (1 / before - 1 / after);
  near.y += ((y - view.clientHeight / 2) / height) * (1 / before - 1 / after);
  placeNear();
}

function panBy(dx, dy) {
  const scale = fitting() * near.zoom;
  near.x -= dx / (near.size[0] * scale);
  near.y -= dy / (near.size[1] * scale);
  placeNear();
}

function resetNear() {
  Object.assign(near, { zoom: 1, x: 0.5, y: 0.5 });
  placeNear();
}

const PAN = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] };
const ZOOM = { "+": () => zoomBy(STEP), "=": () => zoomBy(STEP), "-": () => zoomBy(1 / STEP), ".": resetNear };

// Over the whole window; what lies below can then not be reached.
const isLarge = () => panel.classList.contains("large");

function setLarge(on) {
  if (on === isLarge() || (on && panel.hidden)) return;
  panel.classList.toggle("large", on);
  document.documentElement.classList.toggle("covered", on);
  byId("enlarge").textContent = on ? "Back" : "Enlarge";
  byId("enlarge").setAttribute("aria-pressed", on);
  if (on) {
    panel.setAttribute("role", "dialog");
    panel.setAttribute("aria-modal", "true");
  } else {
    panel.removeAttribute("role");
    panel.removeAttribute("aria-modal");
  }
  for (let inner = panel; inner !== document.body; inner = inner.parentElement) {
    for (const other of inner.parentElement.children) if (other !== inner && other.id !== "heard") other.inert = on;
  }
  placeNear();
  if (on) view.focus();
  else moveTo(current);
}

const inView = (event) => {
  const edge = view.getBoundingClientRect();
  return [event.clientX - edge.left, event.clientY - edge.top];
};

view.addEventListener("wheel", (event) => {
  event.preventDefault();
  const lines = event.deltaMode ? 16 : 1;
  zoomBy(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.0025)), ...inView(event));
}, { passive: false });
view.addEventListener("dblclick", resetNear);
view.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  view.setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, inView(event));
});
view.addEventListener("pointermove", (event) => {
  const before = fingers.get(event.pointerId);
  if (!before) return;
  const now = inView(event);
  fingers.set(event.pointerId, now);
  const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
  if (!other) panBy(now[0] - before[0], now[1] - before[1]);
  else {
    const apart = (at) => Math.hypot(at[0] - other[0], at[1] - other[1]);
    panBy((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
    zoomBy(apart(now) / Math.max(apart(before), 1), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
  }
});
for (const end of ["pointerup", "pointercancel"]) view.addEventListener(end, (event) => fingers.delete(event.pointerId));
new ResizeObserver(onceAFrame(placeNear)).observe(view);
byId("fit").addEventListener("click", resetNear);
byId("closer").addEventListener("click", () => zoomBy(STEP));
byId("farther").addEventListener("click", () => zoomBy(1 / STEP));
byId("enlarge").addEventListener("click", () => setLarge(!isLarge()));
byId("contours").addEventListener("change", () => {
  byId("lines").style.display = byId("contours").checked ? "" : "none";
});
