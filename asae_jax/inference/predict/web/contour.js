// Contour lines of the attention map: they tell where the network looks and cover nothing.
const LEVELS = [0.5, 0.7, 0.9]; // of the way from the lowest to the highest attention

// An SVG path: where a map crosses `level` (marching squares, straight between neighbours, then rounded). `values` are of
// `height` rows of `width` numbers, each at the middle of its part of the square of side `side` whose corner is at
// `left`, `top`. A line ends at the map's edge.
function contour(values, width, height, level, { left = 0, top = 0, side = 1 } = {}) {
  const place = ([row, column]) => [left + (side * (column + 0.5)) / width, top + (side * (row + 0.5)) / height];
  return joined(crossings(values, width, height, level)).map((line) => rounding(line.map(place))).join("");
}

// Pairs of points [row, column] between which a line runs, in fractions of a row and column.
function crossings(values, width, height, level) {
  const at = (row, column) => values[row * width + column];
  const between = (a, b) => (level - a) / (b - a);
  const pairs = [];
  for (let row = 0; row + 1 < height; row++) {
    for (let column = 0; column + 1 < width; column++) {
      const [a, b, c, d] = [at(row, column), at(row, column + 1), at(row + 1, column + 1), at(row + 1, column)];
      const inside = [a, b, c, d].map((value) => value >= level);
      const points = [];
      if (inside[0] !== inside[1]) points.push([row, column + between(a, b)]);
      if (inside[1] !== inside[2]) points.push([row + between(b, c), column + 1]);
      if (inside[2] !== inside[3]) points.push([row + 1, column + between(d, c)]);
      if (inside[3] !== inside[0]) points.push([row + between(a, d), column]);
      // At a saddle the middle decides which points belong together.
      if (points.length === 4 && inside[0] === (a + b + c + d) / 4 >= level) points.push(points.shift());
      for (let n = 0; n + 1 < points.length; n += 2) {
        const pair = [points[n], points[n + 1]];
        if (String(pair[0]) !== String(pair[1])) pairs.push(pair); // a corner of just this level touches only
      }
    }
  }
  return pairs;
}

// Lines of as many points as belong together; one that is closed ends with its first point.
function joined(pairs) {
  const meeting = new Map();
  for (const pair of pairs) {
    for (const point of pair) meeting.set(String(point), [...(meeting.get(String(point)) ?? []), pair]);
  }
  const used = new Set();
  const onward = (line) => {
    for (;;) {
      const end = line.at(-1);
      const pair = meeting.get(String(end)).find((one) => !used.has(one));
      if (!pair) return line;
      used.add(pair);
      line.push(String(pair[0]) === String(end) ? pair[1] : pair[0]);
    }
  };
  const lines = [];
  for (const pair of pairs) {
    if (used.has(pair)) continue;
    used.add(pair);
    lines.push(onward(onward([...pair]).reverse()));
  }
  return lines;
}

// A curve through the middles between the points of a line, whose corners it rounds.
function rounding(points) {
  const text = (point) => point.map((value) => value.toFixed(2)).join(" ");
  const middle = (a, b) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
  const first = points[0];
  const last = points.at(-1);
  const closed = points.length > 3 && text(first) === text(last);
  const start = closed ? middle(first, points[1]) : first;
  let d = `M${text(start)}`;
  for (let n = 1; n + 1 < points.length; n++) d += `Q${text(points[n])} ${text(middle(points[n], points[n + 1]))}`;
  return closed ? `${d}Q${text(last)} ${text(start)}Z` : `${d}L${text(last)}`;
}

// Draws the lines of a cell into an <svg> with two paths for each level, a dark one below a bright one, in the
// coordinates of the original picture. Without a map there are none.
function showLines(svg, cell, [width, height]) {
  const map = picture(cell);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren();
  if (map.attention === "-") return;
  const side = Math.min(width, height) * DATA.extent;
  const square = { left: (width - side) / 2, top: (height - side) / 2, side };
  const values = Array.from(atob(map.attention), (byte) => byte.charCodeAt(0) / 255);
  for (const level of LEVELS) {
    const d = contour(values, map.width, map.height, level, square);
    for (const kind of ["below", "above"]) {
      const path = byId("contour").content.querySelector("path").cloneNode();
      path.setAttribute("class", kind);
      path.setAttribute("d", d);
      svg.append(path);
    }
  }
}
