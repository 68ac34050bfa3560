// Contour lines of the attention map: they tell where the network looks and cover nothing.
const LEVELS = [0.5, 0.7, 0.9]; // of the way from the lowest to the highest attention

// An SVG path: where a map crosses `level` (marching squares, straight between neighbours). `values` are of `height`
// rows of `width` numbers, each at the middle of its part of the square of side `side` whose corner is at `left`, `top`.
// A line ends at the map's edge.
function contour(values, width, height, level, { left = 0, top = 0, side = 1 } = {}) {
  const at = (row, column) => values[row * width + column];
  const x = (column) => (left + (side * (column + 0.5)) / width).toFixed(2);
  const y = (row) => (top + (side * (row + 0.5)) / height).toFixed(2);
  const between = (a, b) => (level - a) / (b - a);
  const parts = [];
  for (let row = 0; row + 1 < height; row++) {
    for (let column = 0; column + 1 < width; column++) {
      const corners = [at(row, column), at(row, column + 1), at(row + 1, column + 1), at(row + 1, column)];
      const [a, b, c, d] = corners;
      const inside = corners.map((value) => value >= level);
      const crossings = [];
      if (inside[0] !== inside[1]) crossings.push([x(column + between(a, b)), y(row)]);
      if (inside[1] !== inside[2]) crossings.push([x(column + 1), y(row + between(b, c))]);
      if (inside[2] !== inside[3]) crossings.push([x(column + between(d, c)), y(row + 1)]);
      if (inside[3] !== inside[0]) crossings.push([x(column), y(row + between(a, d))]);
      // At a saddle the middle decides which crossings belong together.
      if (crossings.length === 4 && inside[0] === (a + b + c + d) / 4 >= level) crossings.push(crossings.shift());
      for (let n = 0; n + 1 < crossings.length; n += 2) {
        parts.push(`M${crossings[n].join(" ")}L${crossings[n + 1].join(" ")}`);
      }
    }
  }
  return parts.join("");
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
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      path.setAttribute("class", kind);
      path.setAttribute("d", d);
      svg.append(path);
    }
  }
}
