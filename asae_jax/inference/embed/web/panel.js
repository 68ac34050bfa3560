// The chosen cell beside the map.
function show(cell) {
  byId("none").hidden = cell !== UNKNOWN;
  byId("cell").hidden = cell === UNKNOWN;
  if (cell === UNKNOWN) return;
  showPicture(byId("picture"), cell);
  byId("picture").alt = `The cell ${DATA.paths[cell]}`;
  byId("path").textContent = DATA.paths[cell];
  byId("label").textContent = textOf("label", cell);
  byId("group").textContent = textOf("group", cell);
  byId("outlier").textContent = textOf("outlier", cell);
  const sure = DATA.probability[cell];
  byId("predicted").textContent = textOf("predicted", cell) + (sure === null ? "" : ` (${(100 * sure).toFixed(1)} %)`);
  byId("near").hidden = !DATA.alike[cell].length;
  byId("alike").replaceChildren(...DATA.alike[cell].map(near));
}

function near(cell) {
  const button = document.createElement("button");
  const name = textOf("label", cell) || textOf("predicted", cell);
  const image = new Image();
  image.alt = "";
  showPicture(image, cell);
  const text = document.createElement("span");
  text.textContent = name;
  button.type = "button";
  button.title = DATA.paths[cell];
  button.append(image, text);
  button.addEventListener("click", () => choose(cell, true));
  return button;
}
