// The drawing of the faces in the frame.

const CORNER = .07;

function drawCorners(context, width, height) {
  const size = CORNER * Math.min(width, height), round = size / 3;
  [context.strokeStyle, context.lineWidth, context.globalAlpha] = [style("muted"), 2, .45];
  for (const [x, y, right, down] of [[0, 0, 1, 1], [width, 0, -1, 1], [width, height, -1, -1], [0, height, 1, -1]]) {
    context.beginPath();
    context.moveTo(x, y + down * size);
    context.arcTo(x, y, x + right * size, y, round);
    context.lineTo(x + right * size, y);
    context.stroke();
  }
  context.globalAlpha = 1;
}

function drawMesh() {
  const canvas = element("mesh");
  if (view) element("view").style.setProperty("--aspect", view.width + " / " + view.height);
  const [context, wide, high] = fit(canvas);
  if (!view || paused) return;
  const margin = picture ? 0 : Math.min(12, wide / 40);
  const scale = Math.min((wide - 2 * margin) / view.width, (high - 2 * margin) / view.height);
  const width = view.width * scale, height = view.height * scale;
  context.translate((wide - width) / 2, (high - height) / 2);
  context.lineJoin = context.lineCap = "round";
  if (picture) context.drawImage(picture, 0, 0, width, height);
  else drawCorners(context, width, height);
  const drawn = view.faces.filter(face => face.points);
  for (const face of [...drawn].reverse()) drawFaceMesh(context, face, width, height, drawn.length > 1);
  canvas.setAttribute("aria-label", drawn.length ? drawn.length + (drawn.length > 1 ? " faces are drawn" : " face is drawn") : "No face is drawn");
}

function drawFaceMesh(context, face, width, height, several) {
  const at = i => [face.points[2 * i] / UNITS * width, face.points[2 * i + 1] / UNITS * height];
  const path = (...all) => {
    context.beginPath();
    for (const points of all) points.forEach((point, i) => context[i ? "lineTo" : "moveTo"](...at(point)));
  };
  const ink = picture ? "#fff" : face === view.faces[0] ? style("ink") : style("muted");
  const tint = face.expression ? colour(face.expression) : style("first");
  const [outerLip, innerLip, ...rest] = lines.bold, eyes = rest.slice(0, 2);
  if (!picture) {
    context.fillStyle = style("panel");
    path(lines.fine[0]);
    context.fill();
    [context.fillStyle, context.globalAlpha] = [tint, .1];
    context.fill();
  }
  context.fillStyle = picture ? "#fff" : tint;
  context.globalAlpha = picture ? .2 : .55;
  path(outerLip, innerLip);
  context.fill("evenodd");
  context.save();
  path(...eyes);
  context.clip();
  context.fillStyle = picture ? "#fff" : style("first");
  context.globalAlpha = .85;
  for (const iris of lines.irises) {
    const rim = iris.map(at), x = rim.reduce((sum, p) => sum + p[0], 0) / 4, y = rim.reduce((sum, p) => sum + p[1], 0) / 4;
    context.beginPath();
    context.arc(x, y, rim.reduce((sum, p) => sum + Math.hypot(p[0] - x, p[1] - y), 0) / 4, 0, 7);
    context.fill();
  }
  context.restore();
  if (picture) [context.shadowColor, context.shadowBlur] = ["#000", 3];
  context.strokeStyle = ink;
  const oval = lines.fine[0].map(at), xs = oval.map(p => p[0]), left = Math.min(...xs), across = Math.max(...xs) - left;
  const bold = Math.min(2.5, Math.max(1, across / 90));
  for (const [kind, alpha, line] of [["fine", .5, .6 * bold], ["bold", 1, bold]]) {
    [context.globalAlpha, context.lineWidth] = [alpha, line];
    path(...lines[kind]);
    context.stroke();
  }
  context.globalAlpha = 1;
  context.shadowBlur = 0;
  if (several) drawName(context, face, left + across / 2, Math.min(...oval.map(p => p[1])));
}

// A label above a face that tells it from the others.
function drawName(context, face, x, top) {
  const text = [face.track, face.expression].filter(Boolean).join(" · ");
  context.font = "600 13px system-ui, sans-serif";
  [context.textAlign, context.textBaseline] = ["center", "middle"];
  const wide = context.measureText(text).width + 18, y = Math.max(14, top - 18);
  context.fillStyle = style("ink");
  context.beginPath();
  context.roundRect(x - wide / 2, y - 12, wide, 24, 12);
  context.fill();
  context.fillStyle = style("panel");
  context.fillText(text, x, y + 1);
}
