// The map: where points are drawn, and which of them is where.
const canvas = byId("map");
const MARGIN = 18;
const REACH = { mouse: 14, touch: 26 }; // pixels around a point that count as on it
const MOST = 200; // times the whole map

const extentOf = (values) => values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
const [X0, X1] = extentOf(DATA.x);
const [Y0, Y1] = extentOf(DATA.y);

// zoom 1 shows everything; (x, y) is the shift of the enlarged map in pixels.
const view = { zoom: 1, x: 0, y: 0 };
const hidden = new Set();
let way = null;
let styles = [];
let chosen = UNKNOWN;

const width = () => canvas.clientWidth;
const height = () => canvas.clientHeight;
// One unit of either axis is equally long, as distances are compared.
const unit = () => Math.min((width() - 2 * MARGIN) / (X1 - X0 || 1), (height() - 2 * MARGIN) / (Y1 - Y0 || 1));

function placeOf(cell) {
  const scale = unit() * view.zoom;
  const x = width() / 2 + (DATA.x[cell] - (X0 + X1) / 2) * scale + view.x;
  const y = height() / 2 - (DATA.y[cell] - (Y0 + Y1) / 2) * scale + view.y;
  return [x, y];
}

const isHidden = (cell) => !way.values && hidden.has(way.of[cell]);

const radius = () => Math.min(6, Math.max(2.4, 60 / Math.sqrt(COUNT) + 2)) * Math.min(2, Math.sqrt(Math.sqrt(view.zoom)));

function draw() {
  const ratio = devicePixelRatio || 1;
  canvas.width = Math.round(width() * ratio);
  canvas.height = Math.round(height() * ratio);
  const context = canvas.getContext("2d");
  const r = Math.round(10 * radius()) / 10;
  for (let cell = 0; cell < COUNT; cell++) {
    if (isHidden(cell)) continue;
    const [x, y] = placeOf(cell);
    if (x < -9 || y < -9 || x > width() + 9 || y > height() + 9) continue;
    context.setTransform(ratio, 0, 0, ratio, x * ratio, y * ratio);
    drawPoint(context, styles[cell], r);
  }
  if (chosen !== UNKNOWN) ring(context, ratio, r);
}

function ring(context, ratio, r) {
  const [x, y] = placeOf(chosen);
  context.setTransform(ratio, 0, 0, ratio, x * ratio, y * ratio);
  drawPoint(context, styles[chosen], 1.5 * r);
  context.lineWidth = 2.5;
  context.strokeStyle = getComputedStyle(document.documentElement).getPropertyValue("--ink");
  context.beginPath();
  context.arc(0, 0, 2.4 * r, 0, 7);
  context.stroke();
}

// The point nearest to (x, y) within reach; UNKNOWN where there is none.
function pointAt(x, y, reach) {
  let found = UNKNOWN;
  let best = reach * reach;
  for (let cell = 0; cell < COUNT; cell++) {
    if (isHidden(cell)) continue;
    const [px, py] = placeOf(cell);
    const distance = (px - x) ** 2 + (py - y) ** 2;
    if (distance <= best) [found, best] = [cell, distance];
  }
  return found;
}

// The nearest point in a direction, what lies aside counting double; from the middle where none is chosen.
function towards(dx, dy) {
  const [x, y] = chosen === UNKNOWN ? [width() / 2, height() / 2] : placeOf(chosen);
  let found = UNKNOWN;
  let best = Infinity;
  for (let cell = 0; cell < COUNT; cell++) {
    if (cell === chosen || isHidden(cell)) continue;
    const [px, py] = placeOf(cell);
    const ahead = (px - x) * dx + (py - y) * dy;
    const aside = Math.abs((px - x) * dy) + Math.abs((py - y) * dx);
    if (chosen !== UNKNOWN && ahead <= 0.01) continue;
    const distance = Math.abs(ahead) + 2 * aside;
    if (distance < best) [found, best] = [cell, distance];
  }
  return found;
}

// Enlarges around (x, y), which stays where it is.
function zoomBy(factor, x = width() / 2, y = height() / 2) {
  const zoom = Math.min(MOST, Math.max(1, view.zoom * factor));
  const by = zoom / view.zoom;
  view.x = x - width() / 2 - (x - width() / 2 - view.x) * by;
  view.y = y - height() / 2 - (y - height() / 2 - view.y) * by;
  view.zoom = zoom;
  if (zoom === 1) view.x = view.y = 0;
  canvas.classList.toggle("zoomed", zoom > 1);
  draw();
}

function moveBy(dx, dy) {
  if (view.zoom === 1) return;
  view.x += dx;
  view.y += dy;
  draw();
}

// Moves the map so that a point chosen by keys is seen.
function bringIntoView(cell) {
  const [x, y] = placeOf(cell);
  view.x += Math.min(Math.max(0, MARGIN - x), width()) - Math.max(0, x - width() + MARGIN);
  view.y += Math.min(Math.max(0, MARGIN - y), height()) - Math.max(0, y - height() + MARGIN);
}
