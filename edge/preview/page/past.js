// The last minutes of the nearest face.

let past = [];  // [since ms, entry]: an expression, null (no face), false (camera off) or undefined (unknown)

function appendToPast(entry, now = Date.now()) {
  if (!past.length || past.at(-1)[1] !== entry) past.push([now, entry]);
  while (past.length > 1 && past[1][0] < now - SPAN) past.shift();
}

// What a tab knows of the time before the device was restarted outlasts a reload of the page.
function savePast() {
  sessionStorage.setItem("past", JSON.stringify(past.map(([since, entry]) => [since, entry === undefined ? 0 : entry])));
}

function restorePast() {
  past = JSON.parse(sessionStorage.getItem("past") ?? "[]").map(([since, entry]) => [since, entry === 0 ? undefined : entry]);
  if (past.length) appendToPast(undefined);
}

function fill(context, entry) {
  const [back, stripes] = pattern(entry);
  if (!stripes) return back;
  const tile = document.createElement("canvas"), pen = tile.getContext("2d");
  tile.width = tile.height = 8;
  pen.fillStyle = back;
  pen.fillRect(0, 0, 8, 8);
  pen.strokeStyle = stripes;
  pen.lineWidth = 2;
  pen.beginPath();
  for (const x of [-8, 0, 8]) { pen.moveTo(x, 8); pen.lineTo(x + 8, 0); }
  pen.stroke();
  return context.createPattern(tile, "repeat");
}

function drawPast() {
  const canvas = element("strip"), [context, width, height] = fit(canvas), now = Date.now(), shares = new Map();
  let known = 0;
  past.forEach(([since, entry], i) => {
    const end = Math.min(now, past[i + 1]?.[0] ?? now), start = Math.max(since, now - SPAN);
    if (entry === undefined || end <= start) return;
    known += end - start;
    shares.set(entry, (shares.get(entry) ?? 0) + end - start);
    const x = width * (1 - (now - start) / SPAN);
    context.fillStyle = fill(context, entry);
    context.fillRect(x, 0, Math.max(width * (end - start) / SPAN, 1), height);
  });
  const sorted = [...shares].sort((a, b) => b[1] - a[1]);
  const words = sorted.map(([entry, ms]) => entryName(entry) + " " + percent(ms / known));
  const create = row => {
    for (const name of ["swatch", ""]) make("span", name, row);
    return row;
  };
  fillList(element("legend"), sorted, create, (row, [entry], i) => {
    row.children[0].style.background = swatch(entry);
    setText(row.children[1], words[i]);
  });
  canvas.setAttribute("aria-label", words.length ? words.join(", ") : "Nothing yet");
}
