// Sorts, filters and arranges the leaderboard, which is there without it.
"use strict";

(() => {
  const table = document.getElementById("leaderboard");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  const ranks = JSON.parse(document.getElementById("ranks").textContent);
  const find = document.getElementById("find");
  const choices = { badge: document.getElementById("badge"), method: document.getElementById("method") };
  const at = (key) => heads.findIndex((head) => head.dataset.key === key);
  const value = (row, column, text) => {
    const raw = row.cells[column].dataset.v;
    if (raw === undefined) return null;
    return text ? raw : Number(raw);
  };

  // Shows the ranks of one ranking: that of the column the table is sorted by, or the overall one.
  const showRanks = (ranking) => {
    const column = at("rank");
    heads[column].title = ranking === "overall" ? "rank by the overall score" : `rank on ${ranking}`;
    rows.forEach((row) => {
      const cell = row.cells[column];
      const rank = ranks[Number(row.dataset.row)][ranking];
      delete cell.dataset.v;
      cell.textContent = "–";
      if (!rank) return;
      cell.dataset.v = rank[0];
      cell.textContent = rank[0];
      if (rank[1] > rank[0]) cell.append(spa.html("span", { class: "range", text: `to ${rank[1]}` }));
    });
  };

  const sort = (column) => {
    const head = heads[column];
    const text = head.dataset.text !== undefined && head.dataset.key !== "date";
    const rising = text || head.dataset.key === "rank" || head.dataset.key === "cost" || head.dataset.key === "tokens";
    const was = head.getAttribute("aria-sort");
    const order = was ? (was === "ascending" ? "descending" : "ascending") : rising ? "ascending" : "descending";
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order);
    const ranking = head.dataset.ranked;
    if (ranking !== undefined) showRanks(ranking && ranks.some((own) => own[ranking]) ? ranking : "overall");
    const sign = order === "ascending" ? 1 : -1;
    const keyed = rows.map((row, i) => [value(row, column, text), i, row]);
    keyed.sort(([a, i], [b, j]) => {
      if (a === null || b === null) return (a === null) - (b === null) || i - j; // what is not there comes last
      return (text ? a.localeCompare(b) : a - b) * sign || i - j;
    });
    body.append(...keyed.map(([, , row]) => row));
  };

  const filter = () => {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const [model, method, badge] = ["model", "method", "badge"].map((key) => row.cells[at(key)].dataset.v);
      const said = `${model} ${method}`.toLowerCase();
      const fits = words.every((word) => said.includes(word)) &&
        (!choices.badge.value || badge === choices.badge.value) && (!choices.method.value || method === choices.method.value);
      row.hidden = !fits;
      shown += fits;
    }
    document.getElementById("count").textContent = `${shown} of ${rows.length} rows`;
  };

  const choose = (key, visible) => {
    const column = at(key);
    heads[column].hidden = !visible;
    for (const row of rows) row.cells[column].hidden = !visible;
  };

  table.tHead.addEventListener("click", (event) => {
    const head = event.target.closest("button.sort")?.closest("th");
    if (head) sort(heads.indexOf(head));
  });
  find.addEventListener("input", filter);
  for (const select of Object.values(choices)) select.addEventListener("change", filter);
  document.getElementById("controls").addEventListener("submit", (event) => event.preventDefault());
  for (const box of document.querySelectorAll("[data-column]")) {
    box.addEventListener("change", () => choose(box.dataset.column, box.checked));
    if (box.checked === heads[at(box.dataset.column)].hidden) choose(box.dataset.column, box.checked); // a reload keeps ticks
  }
  filter();
})();
