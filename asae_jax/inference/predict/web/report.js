// A printed report: one page of A4 for each group chosen, or for all images.
const TYPICAL = 5; // cells of each class, at most
const THUMBS = [20, 19, 18, 17, 16, 15, 14, 13, 12, 11]; // sides of a picture in mm, the first that leaves room for all
const REPORT_HASH = "#report";

// How many images belong to no group, where others do.
const ofNoGroup = () => DATA.counts.reduce((left, count, group) => left - (group ? count.images : 0), DATA.counts[0].images);

// The groups that can be printed: their numbers in DATA.counts, with 0, all images, where the input names none, or
// slides or fields, which may all be one patient's, or where some images are in no group and so on no other report.
const isInGroups = () => DATA.counts.length > 1 && !DATA.slides && !ofNoGroup();
const printable_ = () => DATA.counts.map((_, group) => group).slice(isInGroups() ? 1 : 0);
const nameOf = (group) => (group ? DATA.counts[group].group : DATA.title);

// Who looked at these cells, as far as they said so.
function reviewersOf(cells) {
  return [...new Set(cells.map((cell) => decisions.get(cell.content)?.reviewer).filter(Boolean))].sort();
}

const today = () => new Date().toLocaleDateString("sv-SE"); // 2026-01-31

// Whether the page holds every cell of the group.
const isWhole = (group) => GROUPED[group].length >= DATA.counts[group].images - DATA.counts[group].unreadable;

// How many cells left to a person the page has no room for.
const waitElsewhere = (group) => (UNCERTAINTY ? elsewhere(group) : 0);

// {term: text} of the head of a report.
function factsOf(group) {
  const [count, cells] = [DATA.counts[group], GROUPED[group]];
  const seen = cells.filter((cell) => stateOf(cell) !== "open");
  const by = (state) => seen.filter((cell) => stateOf(cell) === state).length;
  const who = reviewersOf(seen);
  const nameless = seen.filter((cell) => !decisions.get(cell.content).reviewer).length;
  const unsigned = who.length && nameless ? `; ${whole(nameless)} by nobody named` : "";
  const openLeft = cells.filter((cell) => cell.person && stateOf(cell) === "open").length;
  const missing = waitElsewhere(group) ? `${whole(waitElsewhere(group))} more left to a person are not on the page` : "";
  const where = isWhole(group) ? "" : " of the page";
  const left = UNCERTAINTY ? `, ${whole(count.left)} left to a person (${whole(count.unlike)} of them unlike the training cells)` : "";
  return {
    Input: group ? DATA.title : `all ${whole(count.images)} images`,
    Specimen: specimen().name || "not known: blood or marrow",
    "Printed on": today(),
    Images: `${whole(count.images)}${left}, ${whole(count.unreadable)} unreadable`,
    Reviewed: seen.length
      ? `${whole(seen.length)} of ${whole(cells.length)} cells${where} looked at: ${by("kept")} accepted, ${by("changed")} relabelled, ${by("out")} left out; ${openLeft ? `${whole(openLeft)} that are left to a person not yet; ` : ""}${missing && `${missing}; `}by ${who.join(", ") || "______________________"}${unsigned}`
      : `by nobody: the network's count alone${missing && `; ${missing}`}`,
    "Predicted by": [DATA.made, `fingerprint of the network ${DATA.network.slice(0, 8)}`].filter(Boolean).join(", "),
  };
}

// Cells to show: [title, cells] of each class, the surest first, those a person has confirmed before the others. Where
// the page does not hold all cells it lacks the surest of all, so that these are not typical: see `typicalTitle`.
function typicalOf(group) {
  const found = new Map();
  for (const cell of GROUPED[group]) {
    const code = labelOf(cell);
    const isChecked = stateOf(cell) !== "open";
    if (code === "" || (cell.person && !isChecked)) continue;
    if (!found.has(code)) found.set(code, []);
    found.get(code).push({ cell, rank: (isChecked ? 1 : 0) + (code === cell.predicted ? cell.sure : 0) });
  }
  return inOrder([...found.keys()]).map(({ code }) => {
    const best = found.get(code).sort((a, b) => b.rank - a.rank);
    return [titleOf(code), best.slice(0, TYPICAL).map(({ cell }) => cell)];
  });
}

function typicalTitle(group) {
  if (isWhole(group)) return "Typical cells";
  return `The surest of the ${whole(GROUPED[group].length)} cells on the page, which has no room for surer ones`;
}

// Cells that nobody has looked at and that the network would leave to a person, the least certain first.
function unsureOf(group) {
  const open = GROUPED[group].filter((cell) => cell.person && stateOf(cell) === "open");
  return open.sort((a, b) => a.sure - b.sure);
}

function thumbnail(cell, caption) {
  const image = make("img", { alt: "" });
  showPicture(image, cell);
  return make("figure", {}, image, ...(caption ? [make("figcaption", { text: caption })] : []));
}

function strip(title, cells) {
  const pictures = make("div", { className: "strip" }, ...cells.map((cell) => thumbnail(cell)));
  return make("div", { className: "kind" }, make("h4", { text: title }), pictures);
}

// Only classes of which there is a cell in some column have a row; the others are named below.
function reportCount(group) {
  const columns = reportColumns(group);
  const none = [...new Set(columns.flatMap(([, cells]) => [...cells.keys()]))].filter((code) =>
    columns.every(([, cells]) => !cells.get(code)),
  );
  const kept = columns.map(([title, cells]) => [title, new Map(cells)]);
  const table = make("table", { className: "counts" });
  table.append(make("thead"), make("tbody"), make("tfoot"));
  fillCount(table, kept, specimen());
  for (const row of [...table.tBodies[0].rows]) {
    if (row.className === "class" && none.includes(row.querySelector(".code").textContent)) row.remove();
  }
  for (const row of [...table.tBodies[0].rows]) {
    if (row.className === "section" && row.nextElementSibling?.className !== "class") row.remove();
  }
  table.classList.toggle("dense", table.rows.length > 34);
  return [table, none];
}

// What a person said comes first; beside it the network alone. It is no reviewed count while cells wait for a person.
function reportColumns(group) {
  const [all, ...others] = countColumns(group).reverse();
  const waits = elsewhere(group) > 0 || GROUPED[group].some(UNCERTAINTY ? STATES.todo : STATES.open);
  return others.length && all[0].includes("your labels")
    ? [[waits ? "as reviewed so far" : "after review", all[1]], ["network alone", byCode(DATA.counts[group].cells)]]
    : [all, ...others];
}

function reportOf(group) {
  const [table, none] = reportCount(group);
  const facts = make("dl", {}, ...Object.entries(factsOf(group)).map(([term, text]) =>
    make("div", {}, make("dt", { text: term }), make("dd", { text })),
  ));
  const last = reportColumns(group)[0][1];
  const notes = [
    fewSaid([last], specimen()),
    unknownNote([...last.keys()]),
    redCellNote(last, specimen()),
    none.length ? `No cell of: ${inOrder(none).map(({ code }) => code).join(", ")}.` : "",
    "Brackets: 95\u00a0% intervals (Wilson) of which cells happened to be on the smear, not of the network's mistakes.",
  ].filter(Boolean);
  const article = make("article", { className: "report" },
    make("header", {}, make("h2", { text: nameOf(group) }), make("p", { className: "caution", text: DATA.notice })),
    facts, table, make("p", { className: "small", text: notes.join(" ") }), make("div", { className: "pictures" }),
    make("footer", { text: `${DATA.notice} Reviewed and signed: ______________________    Date: ______________` }),
  );
  byId("reports").append(article);
  fillPictures(article, group);
  return article;
}

// Cells as large as there is room for; where there is little, fewer of them, and it is said how many.
function fillPictures(article, group) {
  const [typical, unsure] = [typicalOf(group), unsureOf(group)];
  for (const perClass of [TYPICAL, 3, 2, 1, 0]) {
    for (const rows of [3, 2, 1, 0]) {
      for (const side of THUMBS) {
        article.style.setProperty("--thumb", `${side}mm`);
        const inRow = Math.floor(187.2 / (side + 1.2));
        drawPictures(article.querySelector(".pictures"), group, typical, perClass, unsure, inRow * rows);
        if (article.scrollHeight <= article.clientHeight) return;
      }
    }
  }
  shortenCount(article);
}

// A count that is longer than the page loses its rarest classes, and says how many.
function shortenCount(article) {
  const fits = () => article.scrollHeight <= article.clientHeight;
  const cellsIn = (row) => Number(row.cells[1].querySelector("b").textContent.replaceAll(",", ""));
  const classes_ = [...article.querySelectorAll("tr.class")].sort((a, b) => cellsIn(a) - cellsIn(b));
  const said = make("p", { className: "small" });
  let [dropped, cells] = [0, 0];
  while (!fits() && dropped < classes_.length) {
    cells += cellsIn(classes_[dropped]);
    classes_[dropped++].remove();
    said.textContent = `There is no room for ${whole(dropped)} classes more, with ${whole(cells)} cells: see the page.`;
    article.querySelector("table").after(said);
  }
}

function drawPictures(element, group, typical, perClass, unsure, shown) {
  const rare = unsure.slice(0, shown);
  const all = unsure.length + waitElsewhere(group);
  const said = all > rare.length ? ` (${whole(rare.length)} of ${whole(all)})` : "";
  const kinds = typical.map(([title, cells]) => strip(title, cells.slice(0, perClass)));
  const figures = rare.map((cell) => thumbnail(cell, `${cell.predicted} ${rounded(cell.sure)}${cell.unlike ? " unlike" : ""}`));
  element.replaceChildren(
    ...(perClass && kinds.length ? [make("h3", { text: typicalTitle(group) }), make("div", { className: "kinds" }, ...kinds)] : []),
    ...(all ? [make("h3", { text: `Unsure cells, and cells unlike the training cells, that nobody has looked at${said}` })] : []),
    make("div", { className: "strip" }, ...figures),
  );
}

// The reports in the document: their groups, and what they were made from but for the page itself.
let reported = { groups: [], from: "" };
const madeFrom = () => JSON.stringify([today(), byId("specimen").value, [...decisions]]);

// Puts the reports of some groups into the document, in the place of everything else once it is printed.
function makeReports(groups) {
  clearReports();
  document.body.classList.add("reporting");
  for (const group of groups) reportOf(group);
  reported = { groups, from: madeFrom() };
}

// The same, with pictures that are drawn at once.
async function prepareReports(groups) {
  makeReports(groups);
  await Promise.all([...byId("reports").querySelectorAll("img[src]")].map((image) => image.decode().catch(() => {})));
}

function clearReports() {
  document.body.classList.remove("reporting");
  byId("reports").replaceChildren();
  reported = { groups: [], from: "" };
}

// A page at the reports' address has all of them ready for each time it is printed.
function prepareByAddress() {
  clearReports();
  if (location.hash === REPORT_HASH) prepareReports(printable_());
}

// Labels may be given before reports that are ready are printed.
function renewReports() {
  if (reported.groups.length && reported.from !== madeFrom()) makeReports(reported.groups);
}

function chooseGroups() {
  const boxes = printable_().map((group) => {
    const checked = place() === group || (!place() && !DATA.slides);
    const box = make("input", { type: "checkbox", value: String(group), checked });
    return make("label", { className: "check" }, box, ` ${group ? nameOf(group) : "all images"}`);
  });
  byId("print-groups")?.replaceChildren(...boxes);
  sayChosen();
  byId("print").showModal();
}

const boxes = () => [...(byId("print-groups")?.querySelectorAll("input") ?? [])];
const chosenGroups = () => (byId("print-groups") ? boxes().filter((box) => box.checked).map((box) => Number(box.value)) : [0]);

function sayChosen() {
  const number = chosenGroups().length;
  byId("print-go").disabled = !number;
  const without = DATA.counts.length > 1 && ofNoGroup() ? ` ${whole(ofNoGroup())} images of no group are on the page of all images alone.` : "";
  byId("print-said").textContent = `${number === 1 ? "1 page" : `${whole(number)} pages`}; specimen: ${specimen().name || "not known, choose it beside the count"}.${without}`;
}

async function printReports() {
  await prepareReports(chosenGroups());
  byId("print").close();
  print();
}

function tickAll(checked) {
  for (const box of boxes()) box.checked = checked;
  sayChosen();
}

byId("report").addEventListener("click", chooseGroups);
byId("print-go").addEventListener("click", printReports);
byId("print-groups")?.addEventListener("change", sayChosen);
byId("print-all")?.addEventListener("click", () => tickAll(true));
byId("print-none")?.addEventListener("click", () => tickAll(false));
addEventListener("beforeprint", renewReports);
addEventListener("afterprint", prepareByAddress);
addEventListener("hashchange", prepareByAddress);
