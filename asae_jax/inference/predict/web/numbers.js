// Intervals and their texts for counts that labels change: as in intervals.py and summary.py.
function wilson(hits, total) {
  const z = 1.959963984540054;
  const share = hits / total;
  const z2 = (z * z) / total;
  const centre = (share + z2 / 2) / (1 + z2);
  const half = (z * Math.sqrt((share * (1 - share)) / total + z2 / (4 * total))) / (1 + z2);
  return [hits === 0 ? 0 : Math.max(0, centre - half), hits === total ? 1 : Math.min(1, centre + half)];
}

const whole = (number) => number.toLocaleString("en-US");

function percent(hits, total) {
  if (!total) return "";
  const [low, high] = wilson(hits, total);
  const [share, from, to] = [hits / total, low, high].map((value) => (100 * value).toFixed(1));
  return `${share} % [${from}, ${to}]`;
}

function ratioText(above, below) {
  if (!(above + below)) return "no cell of either lineage";
  const [low, high] = wilson(above, above + below).map((share) => share / (1 - share));
  const value = below ? (above / below).toFixed(2) : "no erythroid cell";
  const bound = Number.isFinite(high) ? high.toFixed(2) : "no upper bound";
  return `${value} [${low.toFixed(2)}, ${bound}] (${whole(above)}:${whole(below)})`;
}
