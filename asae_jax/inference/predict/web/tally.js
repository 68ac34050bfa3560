// The rows of a differential count, as in count_table.py: counted again when a person labels a cell.
const KNOWN = new Map(Object.entries(DATA.known));
const NAMED = new Map([...KNOWN].reverse().map(([, kind]) => [plainName(kind[0]), kind]));

// Texts that differ in case or Unicode form are one: names of folders from a Mac have accents apart from letters.
function folded(text) {
  return text.normalize("NFC").toLowerCase();
}

function plainName(name) {
  return folded(name).trim().replaceAll(" ", "_").replaceAll("-", "_");
}

// What a class is, by its code or its full name: {code, name, lineage, blast, place, colour}. Every class of the
// run has an entry, of one that is not known too: the count in the files is by that alone.
function kindOf(code) {
  const key = plainName(code);
  const kind = KNOWN.get(key) ?? (key ? NAMED.get(key) : undefined);
  const [full, lineage, blast, place, colour] = kind ?? ["", "", false, Infinity, "#6b7280"];
  return { code, name: plainName(full) === key ? "" : full, lineage, blast, place, colour };
}

// Code and full name.
function titleOf(code) {
  const { name } = kindOf(code);
  return name ? `${code} ${name}` : code;
}

// Classes in the order to show: by lineage and maturity, as the run has them; typed ones that are not known come last.
function inOrder(codes) {
  const kinds = codes.map(kindOf);
  return kinds.sort((a, b) => (a.place === b.place ? 0 : a.place - b.place));
}

const sectionOfKind = ({ lineage, blast }) => (blast && !lineage ? "blasts" : lineage);
const LAST_SECTIONS = ["", "none"];

// [section, its classes], what is not counted last.
function kindSections(codes) {
  const found = new Map();
  for (const kind of inOrder(codes)) {
    const section = sectionOfKind(kind);
    if (!found.has(section)) found.set(section, []);
    found.get(section).push(kind);
  }
  return [...found].sort(([a], [b]) => LAST_SECTIONS.indexOf(a) - LAST_SECTIONS.indexOf(b));
}

// What a percentage is of: `cells` is code -> number.
function tally(cells, specimen) {
  const kinds = [...cells.keys()].map(kindOf);
  const sum = (belongs) => kinds.reduce((total, kind) => total + (belongs(kind) ? cells.get(kind.code) : 0), 0);
  const has = (lineage) => kinds.some((kind) => kind.lineage === lineage);
  const counts = ({ lineage }) => lineage !== "none" && (lineage !== "erythroid" || specimen.red_cells_counted);
  const nucleated = sum(({ lineage }) => lineage !== "none");
  const erythroid = sum(({ lineage }) => lineage === "erythroid");
  const white = nucleated - erythroid;
  return {
    cells, counts, nucleated, erythroid, white,
    counted: specimen.red_cells_counted ? nucleated : white,
    myeloid: sum(({ lineage }) => lineage === "myeloid"),
    blasts: sum((kind) => kind.blast && counts(kind)),
    hasBlasts: kinds.some(({ blast }) => blast),
    hasBoth: has("myeloid") && has("erythroid"),
    hasRed: has("erythroid"),
  };
}

const NOTHING = { number: "", text: "", bar: null };

function shareCell(number, one, counts, { bar = true } = {}) {
  const whole_ = counts ? one.counted : 0;
  return {
    number: whole(number),
    text: percent(number, whole_),
    bar: bar && whole_ ? [number / whole_, ...wilson(number, whole_)] : null,
  };
}

// [{kind, name, full, colour, cells}]: `columns` are maps of code -> number, each with the classes it may have.
function tableRows(columns, specimen) {
  const tallies = columns.map((cells) => tally(cells, specimen));
  const codes = [...new Set(columns.flatMap((cells) => [...cells.keys()]))];
  const rows = [];
  for (const [section, kinds] of kindSections(codes)) {
    const sum = (one) => kinds.reduce((total, { code }) => total + (one.cells.get(code) ?? 0), 0);
    const within = (one) => kinds.filter(({ code }) => one.cells.has(code)).length;
    rows.push({
      kind: "section", name: DATA.sections[section], full: "", colour: "",
      cells: tallies.map((one) =>
        kinds.length > 1 && within(one) ? shareCell(sum(one), one, one.counts(kinds[0]), { bar: false }) : NOTHING),
    });
    for (const kind of kinds) {
      rows.push({
        kind: "class", name: kind.code, full: kind.name, colour: kind.colour,
        cells: tallies.map((one) =>
          one.cells.has(kind.code) ? shareCell(one.cells.get(kind.code), one, one.counts(kind)) : NOTHING),
      });
    }
  }
  return [...rows, ...lineRows(tallies, specimen)];
}

function lineRows(tallies, specimen) {
  const line = (name, has, cell) => ({
    kind: "line", name, full: "", colour: "",
    cells: tallies.map((one) => (has(one) ? { ...NOTHING, ...cell(one) } : NOTHING)),
  });
  const if_ = (name) => (specimen.name ? "" : `, if this is ${name}`);
  const ratio = (...counts) => ({ text: ratioText(...counts) });
  return [
    line("blasts", (one) => one.hasBlasts, (one) => shareCell(one.blasts, one, true)),
    specimen.myeloid_erythroid &&
      line(`M:E ratio${if_("marrow")}`, (one) => one.hasBoth, (one) => ratio(one.myeloid, one.erythroid)),
    specimen.red_per_100 &&
      line(`nucleated red cells per 100 white cells${if_("blood")}`, (one) => one.hasRed, (one) =>
        ratio(one.erythroid, one.white, { per: 100, noneBelow: "no white cell" })),
    line(`${specimen.whole} counted`, () => true, (one) => ({ number: whole(one.counted) })),
  ].filter((row) => row && row.cells.some((cell) => cell !== NOTHING));
}

// Where all bars of a table end, 0..1.
function scaleOf(rows) {
  const highest = Math.max(0, ...rows.flatMap((row) => row.cells.map((cell) => cell.bar?.[2] ?? 0)));
  return DATA.scales.find((end) => highest <= end) ?? 1;
}
