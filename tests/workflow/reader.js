// What a reader of the report does, and what one who sees little needs; the outcome is written
// where the dumped document shows it.
const outcome = {}, note = (name, value) => { outcome[name] = value; };
const all = query => [...document.querySelectorAll(query)], wait = ms => new Promise(done => setTimeout(done, ms));
const set = (id, value) => { $(id).value = value; $(id).dispatchEvent(new Event("input", {bubbles: true})); };
const visible = () => rows.filter(row => !row.hidden).length;

const luminance = rgb => rgb.slice(0, 3).map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
const numbers = color => color.match(/[\d.]+/g).map(Number);
function behind(element) {
  for (let e = element; e; e = e.parentElement) {
    const color = numbers(getComputedStyle(e).backgroundColor);
    if (color.length < 4 || color[3] > 0) return color;
  }
  return [255, 255, 255];
}
function faint() {
  return all("body *").filter(e => e.checkVisibility() && !e.closest("svg, script, style, noscript, option")
    && [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())).filter(e => {
    const style = getComputedStyle(e), [one, two] = [numbers(style.color), behind(e)].map(luminance);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    return (Math.max(one, two) + .05) / (Math.min(one, two) + .05) < (large ? 3 : 4.5);
  }).map(e => e.tagName + "." + e.className + ": " + e.textContent.slice(0, 30));
}
const named = e => (e.getAttribute("aria-label") || e.textContent || (e.labels && e.labels[0] && e.labels[0].textContent)
  || (e.querySelector("img") && e.querySelector("img").alt) || "").trim();

(async () => {
  note("ready", document.documentElement.dataset.ready);
  note("rows", rows.length);
  note("empty", rows.filter(row => !row.cells[0].textContent.trim()).length);
  set("kind", ""); note("all", visible());
  set("verdict", "not testable here"); note("untestable", visible());
  set("search", "NP-hard"); note("found", visible());
  set("search", "no such claim"); note("none", visible());
  const counter = all(".counts button").find(b => b.dataset.verdict === "not testable here");
  set("verdict", ""); counter.click();
  note("counted", visible() === +counter.firstChild.textContent && counter.getAttribute("aria-pressed") === "true");
  counter.click(); note("uncounted", all(".counts [aria-pressed=true]").length);

  note("lines", all("#chart polyline").length);
  let before = $("chart").innerHTML;
  set("e-delays", "none"); note("redrawn", before !== $("chart").innerHTML);
  note("numbers", /^[\d.]+ \[[\d.]+, [\d.]+\]$/.test($("numbers").querySelectorAll("td")[1].textContent));
  $("e-ratio").click();
  note("ratio", $("numbers").querySelectorAll("td")[1].textContent);
  const box = $("chart").getBoundingClientRect();
  $("chart").dispatchEvent(new PointerEvent("pointermove", {clientX: box.left + 60, clientY: box.top + 60}));
  note("value", $("value").textContent);
  $("legend").querySelector("button").click();
  note("toggled", all("#chart polyline").length);
  const state = location.hash;
  note("state", state);
  $("legend").querySelector("button").click(); $("e-ratio").click(); set("e-delays", "published");
  location.hash = state; await wait(100);
  note("recalled", $("e-delays").value === "none" && $("e-ratio").checked && all("#chart polyline").length === 1);

  document.querySelector(".open").click();
  note("enlarged", $("large").open && $("large").querySelector("img").naturalWidth > 1000);
  $("large").close();
  HTMLAnchorElement.prototype.click = () => {};  // a download would keep the browser from ending
  document.querySelector("[data-csv]").click(); await wait(300);
  note("saved", document.documentElement.dataset.saved);
  open();
  note("nameless", all("button, select, input, svg[role=img], [role=region]").filter(e => !named(e)).length);
  note("unsaid", all("figure img").filter(e => !e.alt.trim()).length);
  note("twice", all("[id]").length - new Set(all("[id]").map(e => e.id)).size);
  const levels = all("h1, h2, h3, h4").map(e => +e.tagName[1]);
  note("levels", levels[0] === 1 && levels.every((level, i) => i === 0 || level <= levels[i - 1] + 1));
  note("outward", all("a[href]").filter(a => !a.getAttribute("href").startsWith("#") || !$(a.getAttribute("href").slice(1))).length);
  note("faint", faint());
  note("dark", matchMedia("(prefers-color-scheme: dark)").matches);
  note("errors", errors);
  const line = document.createElement("p");
  line.textContent = "OUTCOME " + JSON.stringify(outcome) + " END";
  document.body.append(line);
})();
