// The expression of the nearest face, its probabilities, and the other faces.

function showReading() {
  const faces = paused || !view ? [] : view.faces, [first, ...others] = faces;
  setText(element("who"), first ? ["Nearest: face " + first.track, away(first)].filter(Boolean).join(", ") : "Nearest face");
  setText(element("expression"), paused ? "camera off" : first ? first.expression : view ? "no face" : "-");
  setText(element("confidence"), !first ? "" : first.expression === "uncertain" ? "no expression is likely enough" : "confidence " + confidence(first.confidence));
  drawFace(element("face"), paused ? false : first ? first.expression : null);
  const bars = element("bars"), shares = first ? Object.entries(first.probabilities) : [];
  if (first && bars.dataset.labels !== labels().join()) {
    bars.dataset.labels = labels().join();
    bars.replaceChildren();
    for (const [label] of shares) {
      const row = make("li", "", bars);
      make("span", "", row).textContent = label;
      const fill = make("div", "fill", make("div", "track", row));
      fill.style.background = colour(label);
      make("span", "share", row);
    }
  }
  [...bars.children].forEach((row, i) => {
    const share = shares[i]?.[1] ?? 0;
    row.querySelector(".fill").style.width = 100 * share + "%";
    setClass(row, first && first.expression === shares[i][0] ? "top" : "");
    setText(row.lastChild, first ? confidence(share) : "");
  });
  element("more").hidden = !others.length;
  const create = row => {
    for (const name of ["", "", "share"]) make("span", name, row);
    return row;
  };
  fillList(element("others"), others, create, (row, face) => {
    drawFace(row.children[0], face.expression);
    setText(row.children[1], [face.track, face.expression, away(face)].filter(Boolean).join(" · "));
    setText(row.children[2], confidence(face.confidence));
  });
}

const ready = () => connected && requestedUntil < Date.now();

function showStatus() {
  const silent = connected && !paused && Date.now() - Math.max(lastViewAt, connectedAt) > SILENT;
  const names = [connected ? "" : "lost", kind === "collect" ? "collecting" : "", connected && panel?.recording ? "recording" : "", paused ? "off" : "", connected && !paused && !silent ? "live" : ""];
  setClass(document.body, names.join(" "));
  setText(element("status"), problem || (!connected ? (connectedAt ? "no connection, trying again …" : "connecting …")
    : paused ? "paused" : silent ? "no picture from the camera" : lastViewAt ? "live" : "waiting for the camera …"));
  setText(element("fps"), connected && !paused && !silent && view ? view.fps.toFixed(1) + " frames/s" : "");
  const nobody = "No face in view" + (kind === "device" && panel?.camera?.aimable ? ". If somebody is, the camera may be sideways or upside down: turn the picture below." : "");
  setText(element("notice"), paused ? "The camera is off" : silent ? "No picture from the camera" : view && !view.faces.length ? nobody : "");
  const button = element("pause");
  setText(button, paused ? "Resume camera" : "Pause camera");
  for (const node of [button, element("calibrate"), element("forget")]) node.setAttribute("aria-disabled", String(!ready()));  // a disabled button would lose the focus
}
