// The differential count: of the group chosen, and with what a person said.
const lines = [...byId("counts").querySelectorAll("tbody tr, tfoot tr")];
const place = () => Number(byId("group")?.value ?? 0);

// A line breaks in front of the interval and of what is in parentheses only.
const unbroken = (text) => text.replaceAll(" ", "\u00a0").replace(/\u00a0(?=[[(])/g, " ");

function fill(row, kind, [number, text]) {
  const cell = row.querySelector(`td.${kind}`);
  if (!cell) return;
  cell.firstChild.textContent = number;
  cell.lastChild.textContent = unbroken(text);
}

function showCount() {
  const count = DATA.counts[place()];
  for (const key of ["images", "left", "strange", "unreadable"]) {
    if (byId(key)) byId(key).textContent = whole(count[key]);
  }
  lines.forEach((row, number) => {
    fill(row, "sure", count.sure[number]);
    fill(row, "all", count.everything[number]);
    const bar = count.bars[number];
    const track = row.querySelector(".track");
    if (!track) return;
    const [share, low, high] = bar ?? [0, 0, 0];
    track.firstChild.style.width = `${100 * share}%`;
    track.lastChild.style.left = `${100 * low}%`;
    track.lastChild.style.width = `${100 * (high - low)}%`;
  });
  showYours();
}

// All cells, of which those looked at have the label given: class -> number.
function yourCells() {
  const cells = new Map(DATA.classes.map((name, number) => [name, DATA.counts[place()].cells[number]]));
  for (const cell of CELLS) {
    const label = labels.get(cell.content);
    if (label === undefined || (place() && cell.group !== place())) continue;
    cells.set(cell.predicted, cells.get(cell.predicted) - 1);
    if (label !== "") cells.set(label, (cells.get(label) ?? 0) + 1);
  }
  return cells;
}

function showYours() {
  byId("counts").classList.toggle("labelled", labels.size > 0);
  const cells = yourCells();
  const kind = (name) => DATA.lineages[DATA.classes.indexOf(name)] ?? ["", false];
  const sum = (belongs) => [...cells].reduce((total, [name, n]) => total + (belongs(...kind(name)) ? n : 0), 0);
  const total = sum((lineage) => lineage !== "none");
  const texts = DATA.classes.map((name) => {
    const n = cells.get(name);
    return [whole(n), kind(name)[0] === "none" ? "" : percent(n, total)];
  });
  const blasts = sum((_, blast) => blast);
  const others = { blasts: [whole(blasts), percent(blasts, total)], "cells counted": [whole(total), ""] };
  others["M:E ratio"] = ["", ratioText(...["myeloid", "erythroid"].map((one) => sum((name) => name === one)))];
  lines.forEach((row, number) => fill(row, "yours", texts[number] ?? others[row.cells[0].textContent]));
  showAdded(cells, total);
}

// Lines of classes that a person has added; they belong to no lineage.
function showAdded(cells, total) {
  for (const row of byId("counts").querySelectorAll("tr.added")) row.remove();
  for (const name of classes.slice(DATA.classes.length)) {
    if (!cells.get(name)) continue;
    const row = lines[0].cloneNode(true);
    row.className = "added";
    row.cells[0].textContent = name;
    row.querySelector(".track").replaceChildren();
    fill(row, "sure", ["", ""]);
    fill(row, "all", ["", ""]);
    fill(row, "yours", [whole(cells.get(name)), percent(cells.get(name), total)]);
    byId("counts").tBodies[0].append(row);
  }
}
