"use strict";
(() => {
  const find = (selector) => Array.from(document.querySelectorAll(selector));
  const theme = document.getElementById("theme");
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
  const show = () => theme.setAttribute("aria-pressed", String(isDark()));
  if (theme) {
    theme.hidden = false;
    theme.addEventListener("click", () => {
      document.documentElement.dataset.theme = isDark() ? "light" : "dark";
      show();
    });
    system.addEventListener("change", show);
    show();
  }

  // A page on paper shows what is folded on the screen.
  let folded = [];
  window.addEventListener("beforeprint", () => {
    const more = find("details:not([open])").filter((one) => !one.closest("[hidden]"));
    more.forEach((one) => { one.open = true; });
    folded = folded.concat(more);
  });
  window.addEventListener("afterprint", () => {
    folded.forEach((one) => { one.open = false; });
    folded = [];
  });

  const form = document.getElementById("filters");
  if (!form) return;
  const shown = document.getElementById("shown");
  const search = document.getElementById("search");
  const articles = find("article").map((node) => ({ node, text: null }));
  const groups = find("section.part");
  const boxes = (name) => form.querySelectorAll(`input[name=${name}]`);
  const ticked = (name) => new Set(Array.from(boxes(name)).filter((box) => box.checked).map((box) => box.value));
  const chosen = (name) => { const list = document.getElementById(`by-${name}`); return list ? list.value : ""; };

  const apply = () => {
    const sets = { status: ticked("status"), severity: ticked("severity") };
    const one = { part: chosen("part"), agent: chosen("agent"), rule: chosen("rule") };
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    articles.forEach((article) => {
      const data = article.node.dataset;
      let fits = sets.status.has(data.status) && sets.severity.has(data.severity);
      fits = fits && Object.keys(one).every((key) => !one[key] || data[key] === one[key]);
      if (fits && words.length) {
        if (article.text === null) article.text = article.node.textContent.toLowerCase();
        fits = words.every((word) => article.text.includes(word));
      }
      article.node.hidden = !fits;
      if (fits) count += 1;
    });
    const some = count !== articles.length || words.length || Object.values(one).some(Boolean);
    groups.forEach((group) => {
      group.hidden = Boolean(some && group.querySelector("article") && !group.querySelector("article:not([hidden])"));
    });
    shown.textContent = count === articles.length
      ? `All ${count} findings are shown.`
      : `${count} of ${articles.length} findings are shown, ${articles.length - count} filtered out.`;
  };

  let waiting = 0;
  search.addEventListener("input", () => {
    window.clearTimeout(waiting);
    waiting = window.setTimeout(apply, 120);
  });
  form.addEventListener("change", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  const unfold = (open) => articles.forEach((article) => {
    if (!article.node.hidden) article.node.querySelector("details").open = open;
  });
  document.getElementById("unfold").addEventListener("click", () => unfold(true));
  document.getElementById("fold").addEventListener("click", () => unfold(false));
  document.getElementById("clear").addEventListener("click", () => {
    form.reset();
    apply();
  });
  form.hidden = false;
  shown.hidden = false;
  apply();
})();
