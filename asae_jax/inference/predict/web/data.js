// What the page was made from.
const byId = (id) => document.getElementById(id);
const DATA = JSON.parse(byId("data").textContent);
const CELLS = DATA.cells;

const GROUPED = DATA.counts.map(() => []); // the cells of each group, as DATA.counts; 0: all

CELLS.forEach((cell, number) => {
  GROUPED[0].push(cell);
  if (cell.group) GROUPED[cell.group].push(cell);
  cell.number = number;
  cell.predicted = DATA.classes[cell.label];
  cell.sure = cell.p[cell.label];
  cell.ranked = cell.p.map((_, label) => label).sort((a, b) => cell.p[b] - cell.p[a]);
  cell.person = Boolean(cell.unsure || cell.unlike);
  cell.text = folded(`${cell.path}\n${cell.group ? DATA.counts[cell.group].group : ""}`);
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

// In the order of lineage and maturity; classes that a person has added by typing them follow those of the run.
const classes = DATA.order.map((number) => DATA.classes[number]);
// The class of each key: also those that no cell has any more, as no other class may get a key that fingers know.
const keyed = [...classes];

function addKey(name) {
  if (!keyed.includes(name)) keyed.push(name);
}

function addClass(name) {
  if (!name || classes.includes(name)) return;
  addKey(name);
  classes.push(name);
}

// Those that no cell has any more go again, so that a slip of the pen is gone once it is taken back.
function dropUnusedClasses() {
  const used = new Set(labels.values());
  const kept = keyed.filter((name, number) => number < DATA.classes.length || used.has(name));
  classes.splice(0, classes.length, ...kept);
}

// Typed classes in the order of their keys, up to the last that a cell has: what the browser keeps of them.
function typedClasses() {
  const used = new Set(labels.values());
  return keyed.slice(DATA.classes.length, keyed.findLastIndex((name) => used.has(name)) + 1);
}

const keyOf = (name) => (classes.includes(name) ? KEYS[keyed.indexOf(name)] ?? "" : "");

// What a code stands for; empty where it is not known or is the code itself.
const fullName = (name) => kindOf(name).name;

const inFull = (name) => (fullName(name) ? `${name} (${fullName(name)})` : name);

// The key of each class, as far as there are keys; x marks an artefact.
const KEYS = "1234567890abcdefghijklmnopqrstuvwyz";

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
  showJpeg(image, jpeg);
}

function showJpeg(image, jpeg) {
  if (jpeg && jpeg !== "-") image.src = `data:image/jpeg;base64,${jpeg}`;
  else image.removeAttribute("src");
}

// The large picture of a cell, "-" where the page holds none. These blocks are not kept taken apart: they are large.
const wholes = [...document.querySelectorAll("script.wholes")];
const PER_WHOLE = wholes.length ? wholes[0].textContent.split("\n").length : 1;

function wholePicture(cell) {
  const block = wholes[Math.floor(cell.number / PER_WHOLE)];
  return block ? block.textContent.split("\n")[cell.number % PER_WHOLE] : "-";
}

const training = (byId("training")?.textContent ?? "").split("\n");
