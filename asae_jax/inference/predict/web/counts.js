// The differential count: of the group chosen, and with what a person said.
const place = () => Number(byId("group")?.value ?? 0);
const UNCERTAINTY = Boolean(DATA.thresholds); // of the run, also where the page shows no cell

// What the specimen is: as the page was made, or as a person says here of these cells.
const SPECIMEN_OF = [DATA.specimen, DATA.contents]; // what the choice is kept with, and holds for
const specimen = () => DATA.specimens[byId("specimen").value];

function recallSpecimen() {
  byId("specimen").value = DATA.specimen;
  try {
    const names = [SPECIMEN_STORE, ...FORMERS.map(([, , specimen]) => specimen)];
    const [said, ...of_] = storedList(names.find((name) => localStorage.getItem(name) !== null) ?? SPECIMEN_STORE);
    if (String(of_) === String(SPECIMEN_OF) && Object.hasOwn(DATA.specimens, said)) byId("specimen").value = said;
  } catch {} // a browser that keeps nothing, or a choice that an earlier page kept
}

function saySpecimen() {
  try {
    localStorage.setItem(SPECIMEN_STORE, JSON.stringify([byId("specimen").value, ...SPECIMEN_OF]));
  } catch {}
  showCount();
}

const byCode = (numbers) => new Map(DATA.classes.map((name, number) => [name, numbers[number]]));

// All cells of a group (0: of all), of which those looked at have the label given: code -> number.
function yourCells(group) {
  const cells = byCode(DATA.counts[group].cells);
  for (const cell of GROUPED[group]) {
    const label = labels.get(cell.content);
    if (label === undefined) continue;
    cells.set(cell.predicted, cells.get(cell.predicted) - 1);
    if (label !== "") cells.set(label, (cells.get(label) ?? 0) + 1);
  }
  return cells;
}

// Whether a person has looked at a cell of the group.
const isLabelled = (group) => GROUPED[group].some((cell) => labels.has(cell.content));

// How many cells of the group that a person should look at are not on the page, as it has no room for them.
function elsewhere(group) {
  const [count, cells] = [DATA.counts[group], GROUPED[group]];
  return UNCERTAINTY ? count.left - cells.filter(STATES.person).length : count.images - count.unreadable - cells.length;
}

// [title, code -> number] of each column of the table.
function countColumns(group) {
  const count = DATA.counts[group];
  const columns = [["all cells", byCode(count.cells)]];
  if (UNCERTAINTY) columns.unshift(["cells the run is sure of", byCode(count.sure)]);
  if (isLabelled(group)) columns.push(["all, with your labels", yourCells(group)]);
  return columns;
}

// A text breaks in front of the interval and of what is in parentheses only.
const unbroken = (text) => text.replaceAll(" ", "\u00a0").replace(/\u00a0(?=[[(])/g, " ");

function make(tag, { text, ...properties } = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  if (text !== undefined) element.textContent = text;
  element.append(...children);
  return element;
}

function barOf([share, low, high], end) {
  const percentOf = (value) => `${(100 * value) / end}%`;
  const [bar, line] = [make("i"), make("i")];
  bar.style.width = percentOf(share);
  line.style.left = percentOf(low);
  line.style.width = percentOf(high - low);
  const track = make("span", { className: "track" }, bar, line);
  track.setAttribute("aria-hidden", "true");
  return track;
}

function countCell(cell, end) {
  const content = [make("b", { text: cell.number }), " ", make("span", { text: unbroken(cell.text) })];
  if (cell.bar) content.push(barOf(cell.bar, end));
  return make("td", {}, ...content);
}

function countRow(row, end) {
  const head = make("th", { scope: "row" });
  if (row.colour) {
    const swatch = make("i", { className: "swatch" });
    swatch.style.background = row.colour;
    head.append(swatch);
  }
  head.append(make("span", { className: "code", text: row.name }));
  if (row.full) head.append(" ", make("span", { className: "full", text: row.full }));
  return make("tr", { className: row.kind }, head, ...row.cells.map((cell) => countCell(cell, end)));
}

// Puts a count into a table with a head, a body and a foot.
function fillCount(table, columns, specimen_) {
  const rows = tableRows(columns.map(([, cells]) => cells), specimen_);
  const end = scaleOf(rows);
  const heads = columns.map(([title]) => make("th", { scope: "col", text: title }));
  table.tHead.replaceChildren(make("tr", {}, make("th", { scope: "col", text: "class" }), ...heads));
  table.tBodies[0].replaceChildren(...rows.filter((row) => row.kind !== "line").map((row) => countRow(row, end)));
  table.tFoot.replaceChildren(...rows.filter((row) => row.kind === "line").map((row) => countRow(row, end)));
  return end;
}

function showCount() {
  const count = DATA.counts[place()];
  for (const key of ["images", "left", "unlike", "unreadable"]) {
    if (byId(key)) byId(key).textContent = whole(count[key]);
  }
  byId("cells-of").textContent = place() ? ` of ${count.group}` : "";
  showYours();
}

function showYours() {
  const columns = countColumns(place());
  const end = fillCount(byId("counts"), columns, specimen());
  byId("bar-end").textContent = `${Math.round(100 * end)} %`;
  const of_ = place() ? DATA.counts[place()].group : "all images";
  byId("count-of").textContent = `${of_}; specimen: ${specimen().name || "not known"}`;
  const patients = place() || DATA.slides ? [] : DATA.counts.slice(1).map((_, number) => yourCells(number + 1));
  const typed = [...columns.at(-1)[1].keys()].filter((code) => !DATA.classes.includes(code));
  const notes = [unknownNote(typed), redCellNote(columns.at(-1)[1], specimen()), fewSaid(patients.length ? patients : [columns.at(-1)[1]], specimen())].filter(Boolean);
  byId("specimen-notes").replaceChildren(...notes.map((text) => make("li", { text })));
  showGroups();
}

// What becomes of nucleated red cells in a count that has these classes, typed ones too.
function redCellNote(cells, specimen_) {
  const codes = [...cells.keys()].filter((code) => kindOf(code).lineage === "erythroid");
  return codes.length ? specimen_.note_of_red.replace("{codes}", () => codes.join(", ")) : specimen_.note_of_none;
}

// How classes count whose lineage is not known, as in differential.py, whose sentence has those of the run alone.
function unknownNote(codes) {
  const unknown = codes.filter((code) => sectionOfKind(kindOf(code)) === "");
  return unknown.length ? `No lineage is known for: ${unknown.join(", ")}; they count as white cells, and not as blasts.` : "";
}

// That fewer cells were counted of a patient than are recommended, as in differential.py; `counts` are one or several.
function fewSaid(counts, specimen_) {
  const short = counts.map((cells) => tally(cells, specimen_).counted).filter((counted) => counted < specimen_.recommended);
  if (!short.length) return "";
  const where = counts.length > 1 ? `In ${short.length} of ${counts.length} groups` : "Here";
  const [least, most] = [Math.min(...short), Math.max(...short)];
  const counted = least < most ? `${least} to ${most}` : least;
  return `${where} fewer ${specimen_.whole} were counted (${counted}) than are recommended: ${specimen_.recommendation}.`;
}

// The groups side by side, of all cells; a class that somebody typed has a column for all of them.
function showGroups() {
  if (!byId("groups")?.closest("details").open) return;
  const counts = DATA.counts.slice(1).map((_, number) => yourCells(number + 1));
  const codes = [...new Set(counts.flatMap((cells) => [...cells.keys()]))];
  const columns = counts.map((cells) => new Map(codes.map((code) => [code, cells.get(code) ?? 0])));
  byId("groups-of").textContent = isLabelled(0)
    ? "Of all cells, by your labels, and by the most probable class where you gave none."
    : "Of all cells, by their most probable class.";
  const rows = tableRows(columns, specimen());
  const heads = [...rows.filter((row) => row.kind === "line"), ...rows.filter((row) => row.kind === "class")];
  const [head, body] = [byId("groups").tHead.rows[0], byId("groups").tBodies[0]];
  const fixed = UNCERTAINTY ? 3 : 2; // group, images, left to a person
  head.replaceChildren(
    ...[...head.cells].slice(0, fixed),
    ...heads.map((row) => make("th", { scope: "col", text: row.name, title: row.full })),
  );
  [...body.rows].forEach((row, group) => {
    const texts = heads.map(({ cells }) => cells[group].text || cells[group].number);
    row.replaceChildren(...[...row.cells].slice(0, fixed), ...texts.map((text) => make("td", { text })));
  });
}
