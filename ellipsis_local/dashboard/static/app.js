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
    // What happened meanwhile is asked for once.
    else if (!document.hidden && !stream) { open(); later(); }
  });
  open();
}

function tick() {
  const now = Date.now() / 1000;
  for (const one of document.querySelectorAll("[data-since]")) one.textContent = (now - one.dataset.since).toFixed(0);
}

async function copy(button) {
  const text = document.getElementById(button.dataset.copy)?.textContent ?? button.dataset.text;
  await navigator.clipboard.writeText(text);
  notice("copied");
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("[data-live]").forEach(listen);
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
