"use strict";
// Only the rows that are seen are in the page: a log of 100,000 lines scrolls like one of ten.
document.addEventListener("DOMContentLoaded", () => {
  const box = document.getElementById("log"), rows = box.firstElementChild;
  const [find, node, run, follow, count] = ["find", "node", "run", "follow", "count"].map((id) => document.getElementById(`log-${id}`));
  const escapes = /\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]/g;
  let lines = [], chosen = [], next = 0, asking = false;
  const height = () => 1.4 * parseFloat(getComputedStyle(document.documentElement).fontSize);
  const fits = (line) => (!node.value || line[2] === +node.value) && (!run.value || line[1] === +run.value)
    && (!find.value || line[3].toLowerCase().includes(find.value.toLowerCase()));

  function draw() {
    const high = height(), first = Math.max(0, Math.floor(box.scrollTop / high) - 5);
    const last = Math.min(chosen.length, first + Math.ceil(box.clientHeight / high) + 10);
    rows.style.height = `${chosen.length * high}px`;
    rows.replaceChildren(...chosen.slice(first, last).map((line, i) => {
      const row = document.createElement("div"), mark = document.createElement("span");
      row.style.top = `${(first + i) * high}px`;
      row.style.height = `${high}px`;
      mark.textContent = `${new Date(line[0] * 1000).toLocaleTimeString()} run ${line[1]} node ${line[2]} │ `;
      row.append(mark, line[3]);
      return row;
    }));
    box.classList.toggle("short-log", chosen.length < 15);
    count.textContent = !lines.length ? "nothing was printed or logged" : `${chosen.length.toLocaleString("en")} of ${lines.length.toLocaleString("en")} lines`;
  }
  function show(added) {
    chosen = added ? chosen.concat(added.filter(fits)) : lines.filter(fits);
    draw();
    if (follow.checked && box.scrollHeight > box.clientHeight) { box.scrollTop = box.scrollHeight; draw(); }
  }
  async function ask() {
    if (asking) return;
    asking = true;
    try {
      for (let last = -1; last !== next;) {
        last = next;
        const answer = await fetch(`/ui/computes/${box.dataset.compute}/log?after=${next}`);
        if (!answer.ok) break;
        const found = await answer.json();
        for (const line of found.lines) line[3] = line[3].replace(escapes, "");
        lines = lines.concat(found.lines);
        next = found.next;
        if (found.lines.length) show(found.lines);
      }
    } finally { asking = false; }
  }
  for (const one of [find, node, run]) one.addEventListener("input", () => show());
  box.addEventListener("scroll", () => requestAnimationFrame(draw));
  window.addEventListener("resize", draw);
  document.addEventListener("changed", ask);
  draw();
  ask();
});
