"use strict";

// Draws the figures of the page in the colours of the scheme in force, and lets its stories be filtered.
(() => {
  const figures = [...document.querySelectorAll("[data-figure]")];
  const stories = [...document.querySelectorAll(".story")];
  const PRINTED_WIDTH = 680;

  // --- colours: a figure names them as the style sheet does ---

  const probe = document.body.appendChild(document.createElement("i"));
  probe.hidden = true;
  const COLOUR = /^var\(--[a-z0-9-]+\)$/;

  function resolved(name) {
    probe.style.color = name;
    return getComputedStyle(probe).color;
  }

  function themed(value) {
    if (typeof value === "string") return COLOUR.test(value) ? resolved(value) : value;
    if (Array.isArray(value)) return value.map(themed);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, themed(part)]));
  }

  // --- charts ---

  function draw(node, width) {
    const { data, layout } = themed(JSON.parse(document.getElementById(node.dataset.figure).textContent));
    // A finger scrolls the page; it does not select a range.
    if (matchMedia("(pointer: coarse)").matches) layout.dragmode = false;
    if (width) layout.width = width;
    return Plotly.react(node, data, layout, { responsive: !width, displayModeBar: false });
  }

  function drawAll(width) {
    return Promise.all(figures.map((node) => draw(node, width)));
  }

  for (const node of figures) {
    draw(node).then(() =>
      node.on("plotly_click", ({ points }) => {
        if (points[0].customdata) location.hash = encodeURIComponent(points[0].customdata);
      }),
    );
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll());

  addEventListener("beforeprint", () => {
    document.documentElement.style.colorScheme = "light";
    drawAll(PRINTED_WIDTH);
  });
  addEventListener("afterprint", () => {
    document.documentElement.style.colorScheme = "";
    drawAll();
  });

  // --- stories ---

  const shown = document.querySelector("[data-shown]");
  const kinds = [...document.querySelectorAll("button[data-kind]")];

  function filter(kind) {
    for (const story of stories) {
      story.hidden = kind !== "" && !story.dataset.kinds.split(" ").includes(kind);
    }
    for (const button of kinds) button.setAttribute("aria-pressed", String(button.dataset.kind === kind));
    shown.textContent = stories.filter((story) => !story.hidden).length;
  }

  for (const button of kinds) button.addEventListener("click", () => filter(button.dataset.kind));

  const toggle = document.querySelector("[data-toggle]");
  toggle?.addEventListener("click", () => {
    const open = toggle.getAttribute("aria-expanded") !== "true";
    for (const story of stories) if (!story.hidden) story.open = open;
    toggle.setAttribute("aria-expanded", String(open));
    toggle.textContent = open ? "Close all" : "Open all";
  });

  // A link to a decision opens its story, filtered out or not.
  function follow() {
    const story = document.getElementById(decodeURIComponent(location.hash.slice(1)))?.closest(".story");
    if (!story) return;
    if (story.hidden) filter("");
    story.open = true;
    story.scrollIntoView();
  }

  addEventListener("hashchange", follow);
  follow();
})();
