// The connection to the device.

function onDisconnect() {
  if (connected) appendToPast(undefined);
  connected = false;
}

function onHello(hello) {
  // The daemon has been updated, and serves another version of the page.
  if (page && page !== hello.page) return location.reload();
  ({page, lines} = hello);
  [connectedAt, connected, problem] = [Date.now(), true, ""];
  [kind, clockOffset, lastReply] = [hello.panel, undefined, undefined];
  setText(element("device"), hello.device);
  document.title = hello.device ? hello.device + " · emotion-edge" : "emotion-edge";
  setText(element("privacy"), hello.picture ? "This page shows the picture of the camera." : "This page gets the drawing and never the picture.");
  const collecting = kind === "collect";
  for (const name of ["reading", "past"]) element(name).hidden = collecting;
  for (const name of ["panel", "coverage"]) element(name).hidden = !collecting;
  for (const name of ["pause", "right"]) element(name).hidden = kind !== "device";
  // The server's history has no gaps. Only for the time before its start does this page know more.
  const history = hello.past.map(([age, entry]) => [connectedAt - 1000 * age, entry]);
  past = past.filter(([since]) => since < history[0][0]).concat(history);
}

function onView(next) {
  view = next;
  lastViewAt = Date.now();
  appendToPast(view.faces[0]?.expression ?? null);
  const draw = image => {
    picture = image;
    drawMesh();
  };
  if (view.picture) {
    const image = new Image();
    image.onload = () => draw(image);
    image.src = "data:image/jpeg;base64," + view.picture;
  } else draw(undefined);
  showReading();
  if (panel?.camera) showCamera(panel.camera);  // it says the size
}

function connect() {
  source?.close();
  source = new EventSource("events");
  lastEventAt = Date.now();
  const on = (name, handle) => source.addEventListener(name, event => {
    lastEventAt = Date.now();
    handle(JSON.parse(event.data));
    showStatus();
  });
  on("hello", onHello);
  on("view", onView);
  on("panel", next => (kind === "collect" ? onCollect : onDevice)(next));
  on("heartbeat", heartbeat => {
    if (heartbeat.paused !== paused) requestedUntil = 0;
    if (heartbeat.paused) [view, picture] = [undefined, undefined];
    paused = heartbeat.paused;
    if (paused) appendToPast(false);
    showReading();
    drawMesh();
  });
  source.onerror = async () => {
    onDisconnect();
    showStatus();
    if (source.readyState !== EventSource.CLOSED) return;  // the browser reconnects by itself
    const {status} = await fetch("events", {method: "HEAD"}).catch(() => ({}));
    problem = status === 403 ? "access denied: open the page again with its token"
      : status === 503 ? "too many viewers, trying again …" : "";
    showStatus();
  };
}

// A hidden page disconnects. When it is visible again, the server sends the history that it missed.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    source.close();
    onDisconnect();
  } else connect();
});
addEventListener("pagehide", savePast);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  element("bars").dataset.labels = "";
  showReading();
  element("labels").replaceChildren();
  if (kind === "collect" && panel) onCollect(panel);
  if (kind === "device" && panel) onDevice(panel);
  drawMesh();
  drawPast();
});
new ResizeObserver(() => { drawMesh(); drawPast(); }).observe(document.body);
setInterval(() => {
  if (document.hidden) return;
  if (Date.now() - lastEventAt > (source.readyState === EventSource.CLOSED ? 3000 : STALE)) {
    onDisconnect();
    connect();
  }
  showStatus();
  drawPast();
}, 1000);
restorePast();
connect();
showStatus();
