// What the page was made from.
const byId = (id) => document.getElementById(id);
const DATA = JSON.parse(byId("data").textContent);
const COUNT = DATA.paths.length;
const UNKNOWN = -1;

// Taken apart when the first picture is asked for.
let pictures = null;

// The address of a cell's picture; empty where the page has none.
function pictureOf(cell) {
  pictures ??= byId("pictures").textContent.split("\n");
  return pictures[cell] === "-" ? "" : `data:image/jpeg;base64,${pictures[cell]}`;
}

function showPicture(image, cell) {
  const address = pictureOf(cell);
  if (address) image.src = address;
  else image.removeAttribute("src");
}

// The text of a cell under one of the ways to colour; empty where it is not known.
function textOf(name, cell) {
  const way = DATA.ways[name];
  if (!way) return "";
  if (way.values) return way.values[cell] === null ? "" : way.values[cell].toPrecision(3);
  return way.of[cell] === UNKNOWN ? "" : way.names[way.of[cell]];
}
