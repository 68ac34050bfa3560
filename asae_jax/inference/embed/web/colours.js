// Colours and shapes of points, and the legend. Shapes help those who cannot tell the colours apart.
const COLOURS = ["#4477cc", "#e07b1a", "#2f9e62", "#d1495b", "#8e63c7", "#b08a00", "#17a2b0", "#d4679f", "#8a6a4f", "#7d8a94"];
const SHAPES = [
  (path, r) => path.arc(0, 0, r, 0, 7),
  (path, r) => path.rect(-0.9 * r, -0.9 * r, 1.8 * r, 1.8 * r),
  (path, r) => corners(path, 1.25 * r, 3),
  (path, r) => corners(path, 1.25 * r, 4),
];
const SCALE = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

function corners(path, r, count) {
  for (let i = 0; i < count; i++) {
    const angle = (2 * Math.PI * i) / count - Math.PI / 2;
    path[i ? "lineTo" : "moveTo"](r * Math.cos(angle), r * Math.sin(angle));
  }
  path.closePath();
}

// 0..1 -> from dark over green to yellow.
function onScale(share) {
  const place = Math.min(Math.max(share, 0), 1) * (SCALE.length - 1);
  const low = Math.min(Math.floor(place), SCALE.length - 2);
  const mixed = SCALE[low].map((value, i) => Math.round(value + (place - low) * (SCALE[low + 1][i] - value)));
  return `rgb(${mixed.join(",")})`;
}

// The 1st and 99th percentile, so that one odd cell does not take the whole scale.
function rangeOf(values) {
  const known = values.filter((value) => value !== null).sort((a, b) => a - b);
  const at = (share) => known[Math.round(share * (known.length - 1))];
  return [at(0.01), at(0.99)];
}

const shapes = new Map();
function shapePath(shape, r) {
  const key = `${shape} ${r}`;
  if (!shapes.has(key)) {
    const path = new Path2D();
    SHAPES[shape](path, r);
    shapes.set(key, path);
  }
  return shapes.get(key);
}

// {colour, shape, hollow} of every cell under one way to colour.
function stylesOf(way) {
  if (way.values) {
    const [low, high] = rangeOf(way.values);
    return way.values.map((value) =>
      value === null ? { colour: "#888", shape: 0, hollow: true } : { colour: onScale((value - low) / (high - low || 1)), shape: 0 },
    );
  }
  return way.of.map(styleOf);
}

function styleOf(number) {
  if (number === UNKNOWN) return { colour: "#888", shape: 0, hollow: true };
  return { colour: COLOURS[number % COLOURS.length], shape: (number + Math.floor(number / COLOURS.length)) % SHAPES.length };
}

function drawPoint(context, { colour, shape, hollow }, r) {
  const path = shapePath(shape, r);
  context.lineWidth = 1;
  context.strokeStyle = hollow ? colour : edge;
  context.fillStyle = colour;
  if (!hollow) context.fill(path);
  context.stroke(path);
}

let edge = "#fff";
function readEdge() {
  edge = getComputedStyle(document.documentElement).getPropertyValue("--card").trim();
}

function legendOf(way, hidden, toggle) {
  if (way.values) return [scaleLegend(way)];
  const unknown = way.of.filter((number) => number === UNKNOWN).length;
  const entries = way.names.map((name, number) => [name, number, way.counts[number]]).filter(([, , count]) => count);
  if (unknown) entries.push(["not known", UNKNOWN, unknown]);
  return entries.map(([name, number, count]) => {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-pressed", String(!hidden.has(number)));
    button.title = "show or hide";
    button.append(sample(styleOf(number)), name, bold(count.toLocaleString("en")));
    button.addEventListener("click", () => {
      toggle(number);
      button.setAttribute("aria-pressed", String(!hidden.has(number)));
    });
    return button;
  });
}

function bold(text) {
  const element = document.createElement("b");
  element.textContent = text;
  return element;
}

function sample(style) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 28;
  const context = canvas.getContext("2d");
  context.setTransform(2, 0, 0, 2, 14, 14);
  drawPoint(context, style, 4.5);
  return canvas;
}

function scaleLegend(way) {
  const line = document.createElement("p");
  const canvas = document.createElement("canvas");
  canvas.className = "scale";
  canvas.width = 240;
  canvas.height = 14;
  const context = canvas.getContext("2d");
  for (let x = 0; x < canvas.width; x++) {
    context.fillStyle = onScale(x / canvas.width);
    context.fillRect(x, 0, 1, canvas.height);
  }
  const [low, high] = rangeOf(way.values);
  line.append(low.toPrecision(3), canvas, `${high.toPrecision(3)}: 1st to 99th percentile; higher is less like the training images`);
  return line;
}
