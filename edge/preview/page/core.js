const SPAN = 300e3, SILENT = 8e3, STALE = 10e3, UNITS = 1e4;
// Palette by Masataka Okabe and Kei Ito for colour-blind people. Its eighth colour is black; on a dark page, white.
const PALETTE = {
  neutral: "#56b4e9", happiness: "#e69f00", surprise: "#f0e442", sadness: "#0072b2",
  anger: "#d55e00", disgust: "#009e73", fear: "#cc79a7", contempt: "ink", uncertain: "#8b939c",
};
const element = id => document.getElementById(id);
const style = name => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
const percent = share => Math.round(100 * share) + "\u00a0%";
// No model is ever sure.
const confidence = share => share > .99 ? ">\u00a099\u00a0%" : percent(share);
const away = face => face.distance_m === null ? "" : face.distance_m.toFixed(1) + " m away";

let source, connectedAt = 0, lastEventAt = 0, lastViewAt = 0, page;
let lines, view, picture, paused = false, connected = false, requestedUntil = 0, problem = "";
let kind, panel;

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function setClass(node, name) {
  if (node.className !== name) node.className = name;
}

function make(tag, kind, parent) {
  const node = document.createElement(tag);
  node.className = kind;
  parent.append(node);
  return node;
}

// Let a list have a row for each item, made by `create` where there is none.
function fillList(list, items, create, fill) {
  while (list.children.length > items.length) list.lastChild.remove();
  items.forEach((item, i) => fill(list.children[i] ?? create(make("li", "", list)), item, i));
}

function fit(canvas) {
  const box = canvas.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
  const width = Math.round(box.width * ratio), height = Math.round(box.height * ratio);
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, box.width, box.height);
  return [context, box.width, box.height];
}

// Send an action to the device. Returns why it failed; empty: it didn't.
async function act(action) {
  const response = await fetch("action", {method: "POST", body: JSON.stringify(action)}).catch(() => null);
  return response?.ok ? "" : response ? (await response.text()).trim() : "no connection; nothing was changed";
}

let toastTimer;
function toast(line, failed = false) {
  const node = element("toast");
  clearTimeout(toastTimer);
  setText(node, line);
  node.className = failed ? "failed" : "";
  node.hidden = false;
  toastTimer = setTimeout(() => { node.hidden = true; }, failed ? 12e3 : 6e3);
}
