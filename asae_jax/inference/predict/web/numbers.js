// Intervals and their texts for counts that labels change: as in intervals.py.
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

// `above` per `per` of `below`, with the odds of the bounds of the share of `above` among both.
function ratioText(above, below, { per = 1, noneBelow = "no erythroid cell" } = {}) {
  if (!(above + below)) return "no cell of either kind";
  const decimals = per === 1 ? 2 : 1;
  const [low, high] = wilson(above, above + below).map((share) => (per * share) / (1 - share));
  const value = below ? ((per * above) / below).toFixed(decimals) : noneBelow;
  const bound = Number.isFinite(high) ? high.toFixed(decimals) : "no upper bound";
  return `${value} [${low.toFixed(decimals)}, ${bound}] (${whole(above)}:${whole(below)})`;
}
