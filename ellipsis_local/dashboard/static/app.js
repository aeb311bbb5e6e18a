"use strict";

const notice = (text) => { document.getElementById("notice").textContent = text; };

// Open while the page is seen: a browser has six connections to a server, for all its tabs together.
function listen(element) {
  let stream = null, waiting = null, last = 0;
  // Nodes that end one after the other are not worth a page each.
  const later = () => {
    waiting ??= setTimeout(() => { waiting = null; last = Date.now(); htmx.trigger(element, "changed"); }, Math.max(0, last + 800 - Date.now()));
  };
  const open = () => {
    if (stream || document.hidden) return;
    stream = new EventSource(`/ui/events?of=${encodeURIComponent(element.dataset.live)}`);
    stream.addEventListener("changed", later);
    stream.onopen = () => { element.dataset.open = "1"; };
  };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && stream) { stream.close(); stream = null; }
    // Its first word is that something may have changed meanwhile.
    else open();
  });
  open();
}

function tick() {
  const now = Date.now() / 1000;
  for (const one of document.querySelectorAll("[data-since]")) one.textContent = (now - one.dataset.since).toFixed(0);
}

// The body is the file itself, so that one of gigabytes is never held here.
async function send(target, files) {
  for (const file of files) {
    notice(`adding ${file.name} …`);
    const url = new URL(target, location.href);
    url.searchParams.set("name", file.name);
    const answer = await fetch(url, { method: "POST", body: file, headers: { "X-Ellipsis-Local": "1", "HX-Request": "true" } });
    notice(await answer.text());
    if (!answer.ok) return;
    if (!document.querySelector("[data-live=layers]")) location.reload();
  }
}

function drop(area) {
  const over = (event, on) => { event.preventDefault(); area.classList.toggle("over", on); };
  area.addEventListener("dragover", (event) => over(event, true));
  area.addEventListener("dragleave", (event) => over(event, false));
  area.addEventListener("drop", (event) => { over(event, false); send(area.dataset.upload, event.dataTransfer.files); });
  area.querySelector("input").addEventListener("change", (event) => send(area.dataset.upload, event.target.files));
}

async function copy(button) {
  const text = document.getElementById(button.dataset.copy)?.textContent ?? button.dataset.text;
  await navigator.clipboard.writeText(text);
  notice("copied");
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("[data-live]").forEach(listen);
  document.querySelectorAll("[data-upload]").forEach(drop);
  setInterval(tick, 1000);
  const lesson = document.getElementById("lesson");
  const shown = () => lesson.setAttribute("aria-pressed", document.documentElement.classList.contains("lesson"));
  shown();
  lesson.addEventListener("click", () => {
    if (document.documentElement.classList.toggle("lesson")) localStorage.lesson = "1"; else delete localStorage.lesson;
    shown();
    window.dispatchEvent(new Event("resize"));
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy], [data-text]");
    if (button) copy(button);
  });
});
document.addEventListener("htmx:responseError", (event) => notice(event.detail.xhr.responseText));
document.addEventListener("htmx:sendError", () => notice("the server does not answer: it may have ended"));
document.addEventListener("htmx:afterSettle", tick);
// What was opened stays open when a page hears of something new.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target.id === "notice") {
    // What an act says is a text.
    event.detail.shouldSwap = false;
    if (event.detail.xhr.status < 400) notice(event.detail.xhr.responseText);
    return;
  }
  const open = [...event.detail.target.querySelectorAll("details[open][id]")].map((one) => one.id);
  event.detail.target.addEventListener("htmx:afterSwap", () => {
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  }, { once: true });
});
