// What the page was made from.
const byId = (id) => document.getElementById(id);
const DATA = JSON.parse(byId("data").textContent);
const CELLS = DATA.cells;

CELLS.forEach((cell, number) => {
  cell.number = number;
  cell.predicted = DATA.classes[cell.label];
  cell.sure = cell.p[cell.label];
  cell.ranked = cell.p.map((_, label) => label).sort((a, b) => cell.p[b] - cell.p[a]);
  cell.person = Boolean(cell.unsure || cell.unlike);
  cell.text = `${cell.path}\n${cell.group ? DATA.counts[cell.group].group : ""}`.toLowerCase();
});

function onceAFrame(act) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      act();
    });
  };
}

// Classes that a person has added by typing them follow those of the run.
const classes = [...DATA.classes];

function addClass(name) {
  if (name && !classes.includes(name)) classes.push(name);
}

// The key of each class, as far as there are keys.
const KEYS = "1234567890abcdefghijklmnopqrstuvwxyz";

// Pictures are taken apart block by block, when one of a block is first asked for.
const blocks = [...document.querySelectorAll("script.pictures")];
const opened = new Map();
const PER_BLOCK = blocks.length ? blocks[0].textContent.split("\n").length : 1;

function picture(cell) {
  const block = Math.floor(cell.number / PER_BLOCK);
  if (!opened.has(block)) opened.set(block, blocks[block].textContent.split("\n"));
  const [jpeg, height, width, attention] = opened.get(block)[cell.number % PER_BLOCK].split(" ");
  return { jpeg, height: Number(height), width: Number(width), attention };
}

function showPicture(image, cell) {
  const { jpeg } = picture(cell);
  if (jpeg !== "-") image.src = `data:image/jpeg;base64,${jpeg}`;
  else image.removeAttribute("src");
}

// The map as colours, from clear over green to yellow, over the part of the thumbnail that the network saw.
function showAttention(canvas, cell) {
  const { height, width, attention } = picture(cell);
  canvas.hidden = attention === "-";
  if (canvas.hidden) return;
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const bytes = atob(attention);
  for (let i = 0; i < bytes.length; i++) {
    const value = bytes.charCodeAt(i) / 255;
    image.data.set([255 * value, 140 + 95 * value, 160 * (1 - value), 170 * value], 4 * i);
  }
  context.putImageData(image, 0, 0);
}
