// The labels as a file `path,label[,group or slide],predicted,seen,content,reviewer,reviewed,run,reason` that can be trained on.

// What a CSV reader takes as it stands: no control characters, no half characters of a name that is not Unicode.
const isPrintable = (text) => /^(?:[^\p{C}\p{Z}]| )*$/u.test(text);

const printable = (text) => text.replace(/[^\P{C}]|[^\P{Z} ]/gu, "\ufffd").trim();

// As `csv_cells.guarded`: an apostrophe goes before what a spreadsheet would take for a formula, at the beginning or
// behind a semicolon, tab or line end, where spreadsheets with a decimal comma begin a cell. Readers take it off.
const beforeAFormula =
  /^(?='*(?:(?![;\t\r\n])[\s"])*(?:[=@]|[+-].*[(|!]))|[;\t\r\n](?='*(?:(?![;\t\r\n])[\s"])*[=@+-])/gsu;

const guarded = (text) => text.replace(beforeAFormula, (place) => `${place}'`);

const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

// Whether a path can be written so that it is read as it was: UTF-8, and not bare of spaces at its ends.
const canBeListed = (file) => file !== "" && file === file.trim() && !/[\0\r\n\ud800-\udfff]/u.test(file);

// `rows`: {file, label, group, predicted, seen, content, reviewer, reviewed, run, reason}. By `content` training tells
// whether the file holds the picture that was labelled; `reviewed` is the time (UTC) of the last decision, `run` the
// network that proposed `predicted`, of a cell looked at what its reviewer saw. A cell left out has no label but a `reason`, and is not trained on. An image that
// is listed twice is written once, one that cannot be listed is not. With groups every row needs one, see
// `groups.NO_GROUP`; `slides` tells whether they are slides or fields, of which a patient may have many.
function csvText(rows, { slides = false } = {}) {
  const kept = new Map();
  for (const row of rows) if (canBeListed(row.file)) kept.set(row.file, row);
  const grouped = [...kept.values()].some((row) => row.group);
  const told = ["predicted", "seen", "content", "reviewer", "reviewed", "run", "reason"];
  const lines = [["path", "label", ...(grouped ? [slides ? "slide" : "group"] : []), ...told]];
  for (const row of kept.values()) {
    const group = grouped ? [printable(row.group) || "no group"] : [];
    const seen = row.seen ? "yes" : "no";
    const values = { ...row, seen, predicted: printable(row.predicted), reviewer: printable(row.reviewer ?? "") };
    lines.push([row.file, printable(row.label), ...group, ...told.map((column) => values[column] ?? "")]);
  }
  return lines.map((line) => line.map((cell) => quoted(guarded(cell))).join(",") + "\r\n").join("");
}
