// Which cells are shown, and in which order.
const STATES = {
  person: (cell) => cell.person,
  todo: (cell) => cell.person && stateOf(cell) === "open",
  unsure: (cell) => cell.unsure,
  unlike: (cell) => cell.unlike,
  open: (cell) => stateOf(cell) === "open",
  seen: (cell) => stateOf(cell) !== "open",
  changed: (cell) => stateOf(cell) === "changed",
  out: (cell) => stateOf(cell) === "out",
};
const ORDERS = {
  uncertain: (a, b) => a.sure - b.sure,
  certain: (a, b) => b.sure - a.sure,
  strange: (a, b) => (b.outlier_score ?? -Infinity) - (a.outlier_score ?? -Infinity) || a.sure - b.sure,
  input: (a, b) => a.number - b.number,
};
const LEFT_OUT = "left out";

// Name of the section that a cell is in.
function sectionOf(cell) {
  if (byId("sections").value === "label") return labelOf(cell) || LEFT_OUT;
  return cell.predicted;
}

function chosen() {
  const name = byId("by-class").value;
  const state = STATES[byId("by-state").value];
  const text = folded(byId("by-text").value.trim());
  return GROUPED[place()].filter(
    (cell) =>
      (!name || sectionOf(cell) === name) &&
      (!state || state(cell)) &&
      (!text || cell.text.includes(text)),
  ).sort(ORDERS[byId("sort").value]);
}

// [{name, cells}], by class in the order of lineage and maturity; one without a name where nothing is grouped.
function sections() {
  const cells = chosen();
  if (!byId("sections").value) return [{ name: "", cells }];
  const found = new Map([...classes, LEFT_OUT].map((name) => [name, []]));
  for (const cell of cells) found.get(sectionOf(cell)).push(cell);
  return [...found].filter(([, members]) => members.length).map(([name, members]) => ({ name, cells: members }));
}

// Lists the classes that the gallery can be grouped by, where they are not those listed: that would close an open list.
function showClasses() {
  const select = byId("by-class");
  const before = select.value;
  const own = classes.slice(0, DATA.classes.length);
  const names = byId("sections").value === "label" ? [...classes, LEFT_OUT] : own;
  const listed = [...select.options].slice(1).map((option) => option.value);
  if (listed.length === names.length && listed.every((name, number) => name === names[number])) return;
  const options = names.map((name) => new Option(inFull(name), name));
  select.replaceChildren(new Option("all", ""), ...options);
  select.value = names.includes(before) ? before : "";
}
