"use strict";
// Nothing is asked of another host: the layers are the map, and a coastline tells where it is.
const RAMP = [[253, 231, 37], [94, 201, 98], [33, 145, 140], [59, 82, 139], [68, 1, 84]];
const STATES = { completed: "#2e7d32", ready: "#9ccc9e", failed: "#c81e2d", executing: "#0b6fb8", waiting: "#c79100", queued: "#c79100", stopped: "#8a8a8a" };

function ramp(share) {
  const place = Math.min(Math.max(share, 0), 1) * (RAMP.length - 1), low = Math.min(Math.floor(place), RAMP.length - 2);
  return `rgb(${RAMP[low].map((from, i) => Math.round(from + (RAMP[low + 1][i] - from) * (place - low))).join(",")})`;
}

function text(value) {
  return Math.abs(value) >= 100 ? Math.round(value).toLocaleString("en") : +value.toPrecision(3);
}

function drawMap(element, degrees) {
  const map = L.map(element, { crs: degrees ? L.CRS.EPSG3857 : L.CRS.Simple, zoomSnap: 0.25, minZoom: degrees ? 0 : -30, maxZoom: 24, worldCopyJump: false });
  map.attributionControl.setPrefix(false);
  map.setView([0, 0], degrees ? 1 : 0);
  L.control.scale({ imperial: false }).addTo(map);
  new ResizeObserver(() => map.invalidateSize()).observe(element);
  if (degrees) {
    fetch("/ui/static/coastline.json").then((answer) => answer.json()).then((coast) => {
      L.geoJSON(coast, { interactive: false, style: { color: "#7a8a99", weight: 1, fill: false } }).addTo(map).bringToBack();
    });
  }
  return map;
}

function tiles(path, timestamp, options) {
  return L.tileLayer(`/ui/layers/${path}/${timestamp}/tiles/{z}/{x}/{y}.png?${options?.query ?? ""}`, { maxZoom: 24, noWrap: true, ...options });
}

async function features(path, timestamp, map) {
  const answer = await fetch(`/ui/layers/${path}/${timestamp}/features.json`);
  if (!answer.ok) return null;
  const style = { color: "#e65100", weight: 1.5, fillOpacity: 0.25, radius: 4, interactive: false };
  return L.geoJSON(await answer.json(), { style, pointToLayer: (_, place) => L.circleMarker(place, style), interactive: false }).addTo(map);
}

function legend(element, entries) {
  element.replaceChildren(...entries.map(([colour, name]) => {
    const one = document.createElement("span"), patch = document.createElement("i");
    patch.style.background = colour;
    one.append(patch, name);
    return one;
  }));
}

// Partitions as polygons; `by` names the value that is their colour.
class PartitionMap {
  constructor(element, colourBy, key, href) {
    Object.assign(this, { element, colourBy, key, href, map: null, drawn: null, layers: [] });
    colourBy.addEventListener("change", () => this.paint());
  }
  show(data) {
    this.data = data;
    const placed = data.partitions.filter((one) => one.ring);
    (this.element.closest(".map-first") ?? this.element).hidden = !placed.length;
    if (!placed.length) return;
    if (this.map && this.degrees !== data.degrees) { this.map.remove(); Object.assign(this, { map: null, drawn: null, layers: [], below: null, bounds: null }); }
    if (!this.map) {
      this.degrees = data.degrees;
      this.map = drawMap(this.element, data.degrees);
    }
    const below = JSON.stringify(data.layers);
    if (data.degrees && below !== this.below) {
      this.below = below;
      this.layers.forEach((one) => one.then((drawn) => drawn?.remove()));
      this.layers = data.layers.map(async (one) => one.type === "raster" ? tiles(one.path, one.timestamp).addTo(this.map)
        : one.type === "vector" ? features(one.path, one.timestamp, this.map) : null);
    }
    const former = this.drawn;
    const places = placed.map((one) => one.ring.map(([x, y]) => [y, x]));
    this.drawn = L.featureGroup(placed.map((one, i) => {
      const shape = L.polygon(places[i], { weight: 1.5 });
      shape.partition = one;
      if (this.href) shape.on("click", () => { location.href = this.href(one); });
      return shape;
    })).addTo(this.map);
    if (former) former.remove();
    const bounds = JSON.stringify(places);
    if (this.bounds !== bounds) this.map.fitBounds(this.drawn.getBounds(), { padding: [10, 10] });
    this.bounds = bounds;
    this.paint();
  }
  paint() {
    const by = this.colourBy.value, unit = this.data.unit;
    const known = this.data.partitions.map((one) => one[by]).filter((value) => typeof value === "number");
    const least = Math.min(...known), most = Math.max(...known);
    const share = (value) => (most > least ? (value - least) / (most - least) : 0);
    const few = this.data.partitions.length <= 64;
    this.drawn.eachLayer((shape) => {
      const one = shape.partition, value = one[by];
      const colour = by === "state" ? STATES[one.state] : typeof value === "number" ? ramp(share(value)) : "#8a8a8a";
      shape.setStyle({ color: "#333", fillColor: colour, fillOpacity: 0.55, dashArray: one.state === "failed" ? "5 4" : null });
      const told = by === "state" ? one.failure ? `failed (${one.failure})` : one.state : typeof value === "number" ? text(value) : "not known";
      shape.unbindTooltip();
      shape.bindTooltip(few ? `${one.node}` : `${unit} ${one.node}: ${told}`, { permanent: few, direction: "center", className: "label" });
    });
    const states = [...new Set(this.data.partitions.map((one) => one.state))];
    if (by === "state") legend(this.key, states.map((state) => [STATES[state], state]));
    else if (!known.length) legend(this.key, [["#8a8a8a", "not known"]]);
    else legend(this.key, (most > least ? [0, 0.5, 1] : [0]).map((part) => [ramp(part), text(least + (most - least) * part)]));
  }
}

document.addEventListener("DOMContentLoaded", () => {
  const element = document.querySelector(".map[data-compute]");
  if (!element) return;
  const id = element.dataset.compute;
  const shown = new PartitionMap(element, document.getElementById("colour-by"), document.getElementById("legend"),
    (one) => `/ui/computes/${id}/nodes/${one.node}`);
  const ask = async () => {
    const answer = await fetch(`/ui/computes/${id}/map.json`);
    if (answer.ok) shown.show(await answer.json());
  };
  document.addEventListener("changed", ask);
  ask();
  const find = document.getElementById("node-find");
  const choose = () => {
    for (const row of document.querySelectorAll("tr.node")) row.hidden = !row.textContent.toLowerCase().includes(find.value.toLowerCase());
  };
  find.addEventListener("input", choose);
  document.addEventListener("htmx:afterSwap", choose);
});

document.addEventListener("DOMContentLoaded", () => {
  const element = document.getElementById("what-if-map"), form = document.getElementById("what-if");
  if (!element || !form) return;
  const shown = new PartitionMap(element, document.getElementById("colour-by"), document.getElementById("legend"), null);
  form.addEventListener("htmx:afterRequest", async (event) => {
    const query = new URLSearchParams(new FormData(form));
    if (event.detail.successful) document.getElementById("notice").textContent = "";
    history.replaceState(null, "", `?${query}`);
    const answer = event.detail.successful && await fetch(`/ui/what-if/map.json?${query}`);
    if (answer && answer.ok) shown.show(await answer.json());
  });
});

// One timestamp of a layer on a map.
class LayerMap {
  constructor(element, path, type) {
    Object.assign(this, { element, path, type, map: drawMap(element, true), drawn: null, place: null });
  }
  async show(place, options, fit) {
    this.place = place;
    if (this.drawn) this.drawn.remove();
    this.drawn = null;
    if (!place.bounds) return;
    const [west, south, east, north] = place.bounds;
    if (fit) this.map.fitBounds([[south, west], [north, east]], { maxZoom: 18, animate: false });
    if (this.type === "raster") this.drawn = tiles(this.path, place.id, { query: new URLSearchParams(options) }).addTo(this.map);
    else {
      const drawn = await features(this.path, place.id, this.map);
      // Another one may have been chosen meanwhile.
      if (this.place === place) this.drawn = drawn; else drawn?.remove();
    }
  }
}

document.addEventListener("DOMContentLoaded", () => {
  const element = document.getElementById("layer-map");
  if (!element) return;
  const one = (id) => document.getElementById(id), places = JSON.parse(element.dataset.places), { path, type } = element.dataset;
  const [time, beside, other, value] = ["time", "beside", "other", "value"].map(one), styles = ["bands", "low", "high"].map(one);
  const first = new LayerMap(element, path, type);
  let second = null, waiting = null;
  const index = () => (time ? +time.value : 0);
  const options = () => styles.filter((input) => input?.value).map((input) => [input.id, input.value]);
  const ready = () => !styles[1] || !styles[1].value === !styles[2].value;
  function draw(fit) {
    if (!ready()) return;
    one("date").textContent = places[index()].date + (places[index()].bounds ? "" : " (no place on this map)");
    first.show(places[index()], options(), fit);
    if (second && beside.checked) second.show(places[+other.value], options(), false);
  }
  async function tell(at) {
    const place = places[index()], answer = await fetch(`/ui/layers/${path}/${place.id}/value?x=${at.lng}&y=${at.lat}`);
    const found = answer.ok ? await answer.json() : {}, where = `${at.lng.toFixed(5)}, ${at.lat.toFixed(5)}: `;
    if (found.bands) value.textContent = where + (found.bands.some((one) => one !== null) ? found.bands.map((one) => one ?? "–").join(", ") : "no value");
    else if (found.features) value.textContent = where + (found.features.map((feature) => Object.entries(feature).map((pair) => pair.join("=")).join(" ")).join("; ") || "no feature");
  }
  const soon = (at) => { clearTimeout(waiting); waiting = setTimeout(() => tell(at), 120); };
  first.map.on("mousemove", (event) => soon(event.latlng.wrap()));
  element.addEventListener("keyup", () => soon(first.map.getCenter().wrap()));
  time?.addEventListener("input", () => draw(false));
  for (const input of styles) input?.addEventListener("change", () => draw(false));
  one("style").addEventListener("submit", (event) => event.preventDefault());
  for (const input of [beside, other]) {
    input?.addEventListener("change", () => {
      one("other-map").hidden = !beside.checked;
      if (beside.checked && !second) {
        second = new LayerMap(one("other-map"), path, type);
        second.map.setView(first.map.getCenter(), first.map.getZoom(), { animate: false });
        for (const [a, b] of [[first.map, second.map], [second.map, first.map]]) {
          a.on("move", () => { if (!a.followed) { b.followed = true; b.setView(a.getCenter(), a.getZoom(), { animate: false }); b.followed = false; } });
        }
      }
      draw(false);
    });
  }
  draw(true);
});
