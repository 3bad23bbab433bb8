// The panel of the daemon: camera, broker, processor, model, events, neutral face.

let clockOffset, lastReply;

const clockTime = at => new Date(at).toLocaleTimeString([], {hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23"});
function duration(s) {
  const minutes = Math.floor(s / 60), hours = Math.floor(s / 3600), days = Math.floor(s / 86400);
  return days ? days + " d " + hours % 24 + " h" : hours ? hours + " h " + minutes % 60 + " min" : minutes ? minutes + " min" : (s < 10 ? s.toFixed(1) : Math.floor(s)) + " s";
}

function onDevice(next) {
  // Times come in seconds of the device's own clock, which counts from its start.
  clockOffset ??= Date.now() - 1000 * next.now;
  panel = next;
  const reply = next.reply ?? {number: 0};
  // Not that of before the page was opened.
  if (reply.number !== (lastReply ?? reply.number)) {
    toast(reply.message, !reply.ok);
    requestedUntil = 0;
  }
  lastReply = reply.number;
  showChanges(next.changes);
  if (!next.camera) return;  // the device has only just started
  showCamera(next.camera);
  showFacts(next);
  showBaseline(next);
  element("problem").hidden = !next.problem;
  setText(element("problem").lastChild, "The last reload was refused, and the settings from before are in use: " + next.problem);
}

function showCamera(camera) {
  element("demo").hidden = element("badge").hidden = !camera.demo;
  setText(element("demo-why"), camera.why ? "Why: " + camera.why + ". Connect a camera and start again." : "It was chosen by the settings or by --camera.");
  const turned = [camera.rotation && camera.rotation + "°", camera.flip !== "none" && "mirrored " + {horizontal: "left to right", vertical: "top to bottom", both: "both ways"}[camera.flip]];
  setText(element("camera"), [camera.demo ? "built-in demo" : camera.name, view && view.width + "x" + view.height, ...turned].filter(Boolean).join(" · "));
  element("aim").hidden = false;
  element("aim").lastElementChild.hidden = !camera.aimable;
  element("keep").hidden = camera.kept;
  setText(element("lines"), "rotation = " + camera.rotation + "\nflip = \"" + camera.flip + "\"");
}

// A row of the card: a state in colour and words, and smaller lines below.
function fact(name, state, text, ...notes) {
  const node = element(name).querySelector("dd");
  if (!node.children.length) make("span", "", node);
  setClass(node.firstChild, state && "dot " + state);
  setText(node.firstChild, text);
  const shown = notes.filter(Boolean);
  while (node.children.length > shown.length + 1) node.lastChild.remove();
  shown.forEach((note, i) => setText(node.children[i + 1] ?? make("small", "", node), note));
}

function showFacts({broker, model, temperature_c, throttled, under_voltage, target_fps, uptime_s, version}) {
  const waiting = broker.queued ? broker.queued + (broker.queued === 1 ? " event waits" : " events wait") : "";
  fact("broker", broker.connected ? "good" : "bad", broker.connected ? "connected" : "not connected", broker.address, broker.connected ? "" : broker.why, waiting);
  const hot = throttled || under_voltage;
  fact("heat", temperature_c === null && !hot ? "" : hot ? "bad" : "good", temperature_c === null ? "temperature unknown" : temperature_c.toFixed(0) + " °C",
    under_voltage && "the supply voltage is too low", throttled && "the firmware has slowed it down", "up to " + target_fps + " frames/s");
  const tested = model.rows ? percent(model.accuracy) + " of " + model.rows.toLocaleString("en") + " test faces right" : percent(model.accuracy ?? 0) + " of its test faces right";
  fact("model", "", model.id, model.accuracy === null ? "how good it is has not been measured" : tested, model.majority_baseline !== null && "commonest label alone: " + percent(model.majority_baseline));
  fact("software", "", duration(Math.floor(uptime_s)), "emotion-edge " + version);
}

function showChanges(changes) {
  const newest = changes.slice().reverse();
  element("no-changes").hidden = newest.length > 0;
  const create = row => {
    make("span", "", row);
    const name = make("span", "name", row);
    make("b", "", name);
    make("small", "", name);
    make("span", "share", row);
    make("span", "before", row);
    return row;
  };
  fillList(element("list"), newest, create, (row, change) => {
    const {track, expression, previous} = change, [face, name, share, before] = row.children;
    drawFace(face, expression);
    setText(name.firstChild, expression ?? "left");
    setText(name.lastChild, " face " + track);
    const what = previous ? (expression ? "after " : "was ") + previous + " for " + duration(change.duration_s) : "appeared";
    setText(before, clockTime(clockOffset + 1000 * change.at) + " · " + what);
    setText(share, expression ? confidence(change.confidence) : "");
  });
}

function showBaseline({baseline: {supported, measured}, calibrating}) {
  element("baseline").hidden = !supported;
  setText(element("measured"), calibrating ? "Look at the camera with a relaxed face, for five seconds."
    : measured ? "Measured on " + new Date(measured).toLocaleString([], {dateStyle: "medium", timeStyle: "short"}) + ". Faces are read in relation to it."
      : "Does one person look stern or cheerful at rest? The device can learn that face.");
  element("progress").hidden = !calibrating;
  element("forget").hidden = !measured;
}

async function request(action) {
  if (!ready()) return;
  requestedUntil = Date.now() + 5000;
  showStatus();
  const why = await act(action);
  if (why) {
    requestedUntil = 0;
    toast(why, true);
  }
  showStatus();
}

element("pause").addEventListener("click", () => request({do: "pause", paused: !paused}));
element("calibrate").addEventListener("click", () => request({do: "calibrate"}));
element("forget").addEventListener("click", () => request({do: "forget"}));

const MIRRORED = {
  horizontal: {none: "horizontal", horizontal: "none", vertical: "both", both: "vertical"},
  vertical: {none: "vertical", vertical: "none", horizontal: "both", both: "horizontal"},
};
for (const button of document.querySelectorAll("#aim button")) {
  button.setAttribute("aria-label", button.title);
  button.addEventListener("click", () => {
    const {turn, mirror} = button.dataset;
    let {rotation, flip} = panel.camera;
    if (mirror) flip = MIRRORED[mirror][flip];
    // The picture is turned before it is mirrored, and a mirror reverses the sense of a turn.
    else rotation = (rotation + (flip === "horizontal" || flip === "vertical" ? -turn : +turn) + 360) % 360;
    request({do: "aim", rotation, flip});
  });
}
element("copy").addEventListener("click", async () => {
  // Browsers copy only on pages from this machine or with https; elsewhere the lines are selected instead.
  const copied = await navigator.clipboard?.writeText(element("lines").textContent).then(() => true, () => false);
  if (!copied) getSelection().selectAllChildren(element("lines"));
  toast(copied ? "Copied." : "Selected: press Ctrl-C to copy.");
});
