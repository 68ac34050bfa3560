// Contour lines of the attention map: they tell where the network looks and cover nothing.
const LEVELS = [0.5, 0.7, 0.9]; // of the way from the lowest to the highest attention

// An SVG path: where a map crosses `level` (marching squares, straight between neighbours, then rounded). `values` are of
// `height` rows of `width` numbers, each at the middle of its part of the square of side `side` whose corner is at
// `left`, `top`. A line ends at the map's edge.
function contour(values, width, height, level, { left = 0, top = 0, side = 1 } = {}) {
  // A point lies between a place and the one to its right (key even) or below it (odd).
  const point = (key) => {
    const place = key >> 1;
    const other = key & 1 ? place + width : place + 1;
    const part = (level - values[place]) / (values[other] - values[place]);
    const row = Math.floor(place / width) + (key & 1 ? part : 0);
    const column = (place % width) + (key & 1 ? 0 : part);
    return [left + (side * (column + 0.5)) / width, top + (side * (row + 0.5)) / height];
  };
  return joined(crossings(values, width, height, level)).map((line) => rounding(line.map(point))).join("");
}

// Pairs of keys of points between which a line runs.
function crossings(values, width, height, level) {
  const pairs = [];
  for (let row = 0; row + 1 < height; row++) {
    for (let column = 0; column + 1 < width; column++) {
      const place = row * width + column;
      const [a, b, c, d] = [values[place], values[place + 1], values[place + width + 1], values[place + width]];
      const inside = a >= level;
      if (b >= level === inside && c >= level === inside && d >= level === inside) continue;
      const points = [];
      if (inside !== b >= level) points.push(2 * place);
      if (b >= level !== c >= level) points.push(2 * (place + 1) + 1);
      if (c >= level !== d >= level) points.push(2 * (place + width));
      if (d >= level !== inside) points.push(2 * place + 1);
      // At a saddle the middle decides which points belong together.
      if (points.length === 4 && inside === (a + b + c + d) / 4 >= level) points.push(points.shift());
      for (let n = 0; n + 1 < points.length; n += 2) pairs.push([points[n], points[n + 1]]);
    }
  }
  return pairs;
}

// Lines of as many points as belong together; one that is closed ends with its first point.
function joined(pairs) {
  const meeting = new Map(); // point -> the one or two pairs that it is in
  pairs.forEach((pair) => {
    for (const point of pair) {
      if (meeting.has(point)) meeting.get(point).push(pair);
      else meeting.set(point, [pair]);
    }
  });
  const used = new Set();
  const onward = (line) => {
    for (;;) {
      const end = line.at(-1);
      const pair = meeting.get(end).find((one) => !used.has(one));
      if (!pair) return line;
      used.add(pair);
      line.push(pair[0] === end ? pair[1] : pair[0]);
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
  const closed = points.length > 3 && first[0] === last[0] && first[1] === last[1];
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
