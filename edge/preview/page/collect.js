// The panel for collecting training data.

function onCollect(next) {
  if (!panel) for (const name of ["subject", "session"]) element(name).value = next[name];
  if (!panel) element("consent").checked = next.consent;
  panel = next;
  const list = element("labels");
  panel.labels.forEach((label, i) => {
    let button = list.children[i]?.firstChild;
    if (!button) {
      button = make("button", "", make("li", "", list));
      button.type = "button";
      make("kbd", "", button).textContent = i;
      make("span", "swatch", button).style.background = swatch(label);
      button.append(label);
      button.addEventListener("click", () => perform({do: "label", label: i}));
    }
    button.setAttribute("aria-pressed", String(panel.label === i));
  });
  const label = panel.labels[panel.label];
  setText(element("what"), !panel.recording ? "Not recording" : label ? "Recording " + label : "Choose an expression");
  setText(element("rows"), panel.recording && label ? ": " + panel.rows : "");
  if (panel.note !== element("why").dataset.note) showError(element("why").dataset.note = panel.note);
  setText(element("agreed"), "This person has agreed that " + (panel.pictures ? "pictures and landmarks" : "landmarks, but no pictures,") + " of their face are stored here for training.");
  setText(element("last"), panel.undo ? "Last take: " + panel.undo : "");
  element("undo").setAttribute("aria-disabled", String(!panel.undo));
  element("stop").setAttribute("aria-disabled", String(!panel.recording));
  drawCoverage(panel.coverage);
}

function drawCoverage({poses, lights, people, counts, own, enough, least, subjects, rows, thin}) {
  const table = element("meter");
  if (!table.rows.length) {
    const head = (parent, text, scope, span = 1) => {
      const cell = make("th", "", parent);
      [cell.textContent, cell.scope, cell.colSpan] = [text, scope, span];
    };
    const [first, second] = [table.insertRow(), table.insertRow()];
    head(first, "", "col");
    head(second, "", "col");
    for (const pose of poses) {
      head(first, pose, "colgroup", lights.length);
      for (const light of lights) head(second, light, "col");
    }
    panel.labels.forEach((label, i) => {
      const row = table.insertRow();
      head(row, label, "row");
      for (const _ of people[i]) row.insertCell();
    });
  }
  people.forEach((row, i) => row.forEach((count, j) => {
    const cell = table.rows[i + 2].cells[j + 1];
    setText(cell, counts[i][j] ? String(count) : "");
    cell.title = counts[i][j] + " rows";
    cell.className = [count >= enough ? "full" : counts[i][j] ? "some" : "", own[i][j] ? "own" : ""].join(" ");
  }));
  setText(element("count"), "Number of people with at least " + least + " rows; " + enough + " are enough. Total: "
    + subjects + (subjects === 1 ? " person, " : " people, ") + rows + " rows. " + (thin.length ? "Still needed:" : "Nothing is missing."));
  fillList(element("thin"), thin, row => row, setText);
}

function showError(line) {
  setText(element("why"), line);
}

async function perform(action) {
  showError(await act(action) || panel.note);
}

const record = () => perform({
  do: "record", subject: element("subject").value, session: element("session").value, consent: element("consent").checked,
});

element("record").addEventListener("click", record);
element("stop").addEventListener("click", () => perform({do: "stop"}));
element("undo").addEventListener("click", () => perform({do: "undo"}));
// Each person has to agree.
element("subject").addEventListener("input", () => { element("consent").checked = false; });
for (const name of ["subject", "session"]) element(name).addEventListener("keydown", event => {
  if (event.key === "Enter") event.target.blur();
});
document.addEventListener("keydown", event => {
  if (kind !== "collect" || event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.target.type === "text") return;
  const key = event.key.toLowerCase();
  if (/^[0-9]$/.test(key)) perform({do: "label", label: Number(key)});
  else if (key === "k") record();
  else if (key === "n") perform({do: "stop"});
  else if (key === "u") perform({do: "undo"});
});
