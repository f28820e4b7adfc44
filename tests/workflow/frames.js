// The page at every width: how far it reaches, with all that is closed opened.
const widths = WIDTHS, reached = [];
for (const width of widths) {
  const frame = document.createElement("iframe");
  frame.width = width; frame.height = 900; frame.style.border = 0; frame.src = "watched.html";
  frame.addEventListener("load", () => {
    const inner = frame.contentDocument;
    inner.querySelectorAll("details").forEach(group => { group.open = true; });
    reached.push([width, inner.documentElement.scrollWidth, inner.defaultView.innerWidth]);
    if (reached.length === widths.length) document.title = "REACHED " + JSON.stringify(reached);
  });
  document.body.append(frame);
}
