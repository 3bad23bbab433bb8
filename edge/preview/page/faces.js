// What stands for an expression beside its name: a colour, stripes where it is no expression, and a small face.

// Labels that are not in the palette borrow its unused colours.
const borrowed = new Map();
function colour(label) {
  if (!(label in PALETTE) && !borrowed.has(label)) {
    const used = new Set([...labels(), ...borrowed.keys()]);
    const free = Object.keys(PALETTE).filter(name => !used.has(name) && ![...borrowed.values()].includes(name));
    borrowed.set(label, free[0] ?? "uncertain");
  }
  const value = PALETTE[borrowed.get(label) ?? label];
  return value === "ink" ? style("ink") : value;
}
const labels = () => Object.keys(view?.faces[0]?.probabilities ?? {});

const entryName = entry => entry === null ? "no face" : entry === false ? "camera off" : entry;

// Background, and stripes for states that are not expressions: colour alone must not tell them apart.
function pattern(entry) {
  if (entry === null) return [style("sunk")];
  if (entry === false) return [style("sunk"), style("rule")];
  return entry === "uncertain" ? [colour(entry), style("panel")] : [colour(entry)];
}

function swatch(entry) {
  const [back, stripes] = pattern(entry);
  return stripes ? `repeating-linear-gradient(-45deg, ${stripes} 0 2px, ${back} 2px 5px)` : back;
}

// Mouth and brows in a circle of 32 x 32. A label without a face of its own gets the dots of `uncertain`.
const EYES = "M11.5 12.6v.8M20.5 12.6v.8";
const FEATURES = {
  neutral: EYES + "M11 21h10",
  happiness: EYES + "M9.5 18.5c2.4 5.6 10.6 5.6 13 0z",
  surprise: "M11.5 13v.8M20.5 13v.8M9.3 8.6c1-1 2.6-1.3 3.8-.7M22.7 8.6c-1-1-2.6-1.3-3.8-.7M16 18.2c2.1 0 2.9 1.7 2.9 3.3s-1 3-2.9 3-2.9-1.4-2.9-3 .8-3.3 2.9-3.3z",
  sadness: EYES + "M9.4 10.6l3.6-1.6M22.6 10.6l-3.6-1.6M10.5 23c1.9-4 9.1-4 11 0",
  anger: "M11.5 13.6v.8M20.5 13.6v.8M9 9.2l4.2 2M23 9.2l-4.2 2M11 22.4c2.4-1.9 7.6-1.9 10 0",
  disgust: "M9.8 12.6l3.2 1M22.2 12.6l-3.2 1M10 22c1.6-2.4 3-2.4 4.4-.6s2.6 1.8 4-.2 2.4-2 3.6.2",
  fear: EYES + "M9.3 9.8l3.4-1.6M22.7 9.8l-3.4-1.6M10.2 23.2c.6-4.6 11-4.6 11.6 0l-1.9-.9-2 .9-1.9-.9-2 .9-1.9-.9z",
  contempt: EYES + "M9.6 9.7h3.6M18.8 8.3l3.6 1M11 21.5c3.6.8 7.6-.2 10-3",
};
const SVG = "http://www.w3.org/2000/svg";

function svg(tag, attributes, parent) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  parent?.append(node);
  return node;
}

// Show the face of an entry in a node; null: nobody.
function drawFace(node, entry) {
  const key = String(entry) + style("ink");
  if (node.dataset.face === key) return;
  node.dataset.face = key;
  const root = svg("svg", {viewBox: "0 0 32 32", "aria-hidden": "true"});
  const empty = entry === null || entry === false, tint = empty ? style("muted") : colour(entry);
  svg("circle", {cx: 16, cy: 16, r: 15, fill: tint, "fill-opacity": empty ? .12 : .24}, root);
  svg("circle", {cx: 16, cy: 16, r: 14.3, fill: "none", stroke: tint, "stroke-width": 1.4, "stroke-dasharray": empty ? "3 3" : "none"}, root);
  const line = {fill: "none", stroke: empty ? style("muted") : style("ink"), "stroke-width": 1.9, "stroke-linecap": "round", "stroke-linejoin": "round"};
  if (!empty) svg("path", {d: FEATURES[entry] ?? EYES + "M12 21h.1M16 21h.1M20 21h.1", ...line}, root);
  else svg("path", {d: entry === false ? "M9 9l14 14" : "M12 16h8", ...line}, root);
  node.replaceChildren(root);
}
