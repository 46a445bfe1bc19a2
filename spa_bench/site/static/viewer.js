// Steps through episodes. Reads the index from the page and episodes from packed chunks, each
// unpacked when it is first needed: from the page itself, or from a file beside it.
"use strict";

(() => {
  const root = document.getElementById("viewer");
  if (!root) return;
  const { html } = spa;
  const index = JSON.parse(document.getElementById("viewer-index").textContent);
  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  const OUTCOMES = { __proto__: null, success: "solved", infrastructure: "broke: to be played again" };
  const MARKS = { __proto__: null, success: "✓", infrastructure: "!", dead_end: "d" };
  const MOST_TABS = 8; // more are chosen from a list
  const markOf = (outcome) => MARKS[outcome] || outcome[0];
  const sayOutcome = (outcome) => OUTCOMES[outcome] || `failed: ${outcome.replaceAll("_", " ")}`;
  const inShort = (action) => (action.length > 24 || action.includes("\n") ? "answer" : action);
  const plural = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;
  const signed = (x) => `${x > 0 ? "+" : ""}${String(x).replace("-", "−")}`;

  // `sokoban/6x6-1/ragen/123` is board 123; what follows tells the items of a probe about it apart
  const named = (instance) => {
    const parts = instance.split("/");
    const at = parts.findIndex((part) => /^\d+$/.test(part));
    return at < 0 ? [instance, ""] : [parts[at], parts.slice(at + 1).join(" ")];
  };

  const entries = index.episodes.map(([task, board, repeat, outcome, chunk, place], number) => ({
    task, board, repeat, outcome, chunk, place, number,
  }));

  const title = (e) => {
    const [board, item] = named(e.board);
    return `board ${board}${item ? `, ${item}` : ""} · repeat ${e.repeat}`;
  };

  // -- episodes, unpacked when needed ------------------------------------------------------------

  const chunks = new Map();
  const arrivals = new Map();
  spa.chunk = (id, text) => arrivals.get(id)?.(text);

  const textOf = (id) => {
    const here = document.getElementById(`chunk-${id}`);
    if (here) return Promise.resolve(here.textContent.trim());
    return new Promise((resolve, reject) => {
      arrivals.set(id, resolve);
      const script = html("script", { src: `${index.folder}${id}.js` });
      script.onerror = () => reject(new Error(`the file ${index.folder}${id}.js is missing`));
      document.head.append(script);
    });
  };

  const unpack = async (text) => {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return JSON.parse(await new Response(stream).text());
  };

  const chunk = (id) => {
    if (!chunks.has(id)) chunks.set(id, textOf(id).then(unpack));
    return chunks.get(id);
  };

  // -- which episode, which step -----------------------------------------------------------------

  let shownTask = 0;
  let filter = null; // an outcome
  let entry = null;
  let episode = null;
  let turn = 0;
  let step = 0; // 0 is the state before the turn, i the state after its i-th action

  const listed = () => entries.filter((e) => e.task === shownTask && (!filter || e.outcome === filter));

  const open = async (chosen, { turn: atTurn = 0, step: atStep = 0, focus = false } = {}) => {
    if (!chosen) return;
    entry = chosen;
    markChosen();
    let found;
    try {
      found = (await chunk(chosen.chunk))[chosen.place];
    } catch (error) {
      if (entry === chosen) part("note").textContent = `This episode cannot be shown: ${error.message}.`;
      return;
    }
    if (entry !== chosen) return; // another one was chosen meanwhile
    episode = found;
    turn = Math.min(atTurn, Math.max(episode.turns.length - 1, 0));
    step = Math.min(atStep, lastStep(turn));
    showEpisode();
    if (focus) part("episode").focus({ preventScroll: true });
  };

  const lastStep = (t) => Math.max((episode.turns[t]?.frames.length ?? 1) - 1, 0);

  const go = (t, s) => {
    turn = t;
    step = s;
    showStep();
  };

  const move = {
    forward: () => {
      if (step < lastStep(turn)) go(turn, step + 1);
      else if (turn + 1 < episode.turns.length) go(turn + 1, 0);
    },
    back: () => {
      if (step > 0) go(turn, step - 1);
      else if (turn > 0) go(turn - 1, lastStep(turn - 1));
    },
    nextTurn: () => { if (turn + 1 < episode.turns.length) go(turn + 1, 0); },
    previousTurn: () => { if (step > 0) go(turn, 0); else if (turn > 0) go(turn - 1, 0); },
    first: () => go(0, 0),
    last: () => { const t = Math.max(episode.turns.length - 1, 0); go(t, lastStep(t)); },
    neighbour: (by) => {
      const all = listed();
      const here = all.indexOf(entry);
      open(all[here < 0 ? 0 : (here + by + all.length) % all.length]);
    },
  };

  // -- the overview: a row a board, a mark a repeat ---------------------------------------------

  const showTask = (number) => {
    shownTask = number;
    filter = null;
    showOverview();
    open(listed()[0]);
  };

  const showTabs = () => {
    const tabs = part("tabs");
    tabs.hidden = index.tasks.length < 2;
    if (index.tasks.length > MOST_TABS) {
      const select = html("select", { "aria-label": "Task" }, ...index.tasks.map((task, i) => html("option", { value: i, text: task.name })));
      select.value = shownTask;
      select.onchange = () => showTask(Number(select.value));
      tabs.replaceChildren(select);
      return;
    }
    tabs.replaceChildren(...index.tasks.map((task, i) => {
      const tab = html("button", { type: "button", class: "tab", "aria-pressed": String(i === shownTask), text: task.name });
      tab.onclick = () => showTask(i);
      return tab;
    }));
  };

  const showFilters = () => {
    const counts = new Map();
    for (const e of entries) if (e.task === shownTask) counts.set(e.outcome, (counts.get(e.outcome) || 0) + 1);
    const total = [...counts.values()].reduce((a, b) => a + b, 0);
    const order = [...counts].sort((a, b) => (b[0] === "success") - (a[0] === "success") || b[1] - a[1]);
    const button = (name, count, outcome) => {
      const chip = html("button", { type: "button", class: "chip", "aria-pressed": String(filter === outcome) });
      if (outcome) chip.append(html("span", { class: `cell ${outcome === "success" ? "good" : ""}`, "aria-hidden": "true", text: markOf(outcome) }));
      chip.append(`${name} `, html("span", { class: "count", text: String(count) }));
      chip.onclick = () => { filter = outcome; showOverview(); if (entry && !listed().includes(entry)) open(listed()[0]); };
      return chip;
    };
    part("filters").replaceChildren(
      button("all", total, null),
      ...order.map(([outcome, count]) => button(OUTCOMES[outcome] ? OUTCOMES[outcome].split(":")[0] : outcome.replaceAll("_", " "), count, outcome)),
    );
  };

  const showMatrix = () => {
    const rows = new Map();
    for (const e of entries) {
      if (e.task !== shownTask) continue;
      const [board] = named(e.board);
      if (!rows.has(board)) rows.set(board, []);
      rows.get(board).push(e);
    }
    const lines = [...rows].map(([board, own]) => {
      const line = html("div", { class: "line" }, html("span", { class: "name", title: `board ${board}`, text: board }));
      for (const e of own) {
        const cell = html("button", {
          type: "button", class: `cell ${e.outcome === "success" ? "good" : ""}`, tabindex: -1,
          "data-number": e.number, "aria-label": `${title(e)}: ${sayOutcome(e.outcome)}`, title: title(e), text: markOf(e.outcome),
        });
        if (filter && e.outcome !== filter) cell.classList.add("faint");
        line.append(cell);
      }
      return line;
    });
    part("matrix").replaceChildren(...lines);
  };

  const showOverview = () => { showTabs(); showFilters(); showMatrix(); markChosen(); };

  const markChosen = () => {
    for (const cell of part("matrix").querySelectorAll("[aria-current]")) {
      cell.removeAttribute("aria-current");
      cell.tabIndex = -1;
    }
    if (!entry) return;
    const cell = part("matrix").querySelector(`[data-number="${entry.number}"]`);
    if (!cell) return;
    cell.setAttribute("aria-current", "true");
    cell.tabIndex = 0;
    const box = part("matrix");
    const [top, bottom] = [cell.offsetTop - box.offsetTop, cell.offsetTop - box.offsetTop + cell.offsetHeight];
    if (top < box.scrollTop) box.scrollTop = top - 8;
    else if (bottom > box.scrollTop + box.clientHeight) box.scrollTop = bottom - box.clientHeight + 8;
  };

  part("matrix").onclick = (event) => {
    const cell = event.target.closest("[data-number]");
    if (cell) open(entries[Number(cell.dataset.number)], { focus: true });
  };

  // -- one episode ---------------------------------------------------------------------------------

  const showEpisode = () => {
    const task = index.tasks[entry.task];
    part("title").textContent = `${task.name} · ${title(entry)}`;
    part("instance").textContent = entry.board;
    part("outcome").textContent = sayOutcome(entry.outcome);
    part("outcome").className = `outcome ${entry.outcome === "success" ? "good" : "bad"}`;
    const notes = [episode.note, episode.error, episode.turns.length ? null : "No turn was played."].filter(Boolean);
    part("note").textContent = notes.join(" · ");
    part("timeline").replaceChildren(...episode.turns.map((t, i) => {
      const stop = (s, text, label) => {
        const button = html("button", { type: "button", class: "stop", "data-at": `${i}.${s}`, "aria-label": label, text });
        if (s && t.moves[s - 1] && !t.moves[s - 1].changed) button.classList.add("idle");
        button.onclick = () => go(i, s);
        return button;
      };
      const stops = t.frames.slice(1).map((_, k) => stop(k + 1, inShort(t.moves[k].action), `turn ${i + 1}, after ${inShort(t.moves[k].action)}`));
      return html("li", {}, stop(0, `Turn ${i + 1}`, `turn ${i + 1}, before its actions`), ...stops);
    }));
    showStep();
  };

  const figure = (name, board, caption, tone = "") => {
    const place = part(name);
    place.hidden = false;
    place.querySelector(".frame").replaceChildren(board);
    const line = place.querySelector(".caption");
    line.textContent = caption;
    line.className = `caption ${tone}`;
  };

  const stray = (scene, facts) => {
    if (scene.world === "text") return 0;
    return Object.values(facts).flat().filter(([r, c]) =>
      !(r >= scene.origin && r < scene.origin + scene.rows && c >= scene.origin && c < scene.origin + scene.cols)).length;
  };

  const showBelief = (name, label, said, reads) => {
    if (!index.tasks[entry.task].believes) { part(name).hidden = true; return; }
    if (!said) {
      figure(name, html("p", { class: "none", text: "nothing readable" }), "The reply states none.", "muted");
      return;
    }
    const { scene } = episode;
    const outside = stray(scene, said.facts);
    const wrong = said.wrong.length;
    const caption = said.exact === undefined ? "as the reply states it"
      : said.exact ? `agrees with ${reads}`
      : wrong ? `${plural(wrong, "cell")} differ${wrong === 1 ? "s" : ""} from ${reads}${outside ? `; ${outside} off the board` : ""}`
      : `right as far as it goes; leaves out part of ${reads}`;
    const more = said.left_out ? `; ${plural(said.left_out, "more place")} not shown` : "";
    const tone = said.exact === undefined ? "" : said.exact ? "good" : "bad";
    figure(name, spa.board(scene, { facts: said.facts }, { label, wrong: said.wrong }), caption + more, tone);
  };

  const showStep = () => {
    const { scene } = episode;
    const now = episode.turns[turn];
    part("played").hidden = !now;
    part("played").classList.toggle("plain", !index.tasks[entry.task].believes);
    if (!now) return;
    const done = now.moves[step - 1];
    const label = step ? `after ${now.right ? "the answer" : done.action}, action ${step} of ${now.moves.length}` : "before the turn";
    const happened = !step ? "" : [
      `reward ${signed(done.reward)}`, done.changed ? null : "nothing changed", done.chance ? `chance ${done.chance}` : null,
    ].filter(Boolean).join(", ");
    figure("board", spa.board(scene, now.frames[step], { label: `The board ${label}`, from: step ? now.frames[step - 1] : null }),
      `Turn ${turn + 1}, ${label}${happened ? ` · ${happened}` : ""}`);
    showBelief("observed", "What the model says it sees", now.observed, "the board before the turn");
    showBelief("predicted", "What the model predicts", now.predicted, "what happened");
    if (index.tasks[entry.task].believes && !episode.note) {
      const last = now.frames.length - 1;
      figure("happened", spa.board(scene, now.frames[last], { label: "What happened" }), `after all ${plural(last, "action")} of the turn`);
    } else part("happened").hidden = true;
    part("right").hidden = !now.right;
    if (now.right) {
      const [text, chance] = now.right[0];
      figure("right", spa.board(scene, { facts: {}, text }, { label: "A right answer" }),
        chance === "1" ? "the only one" : `the likeliest of ${now.right.length}, chance ${chance}`);
    }
    part("board").querySelector("h4").textContent = now.right ? "The question" : "The board";

    part("reply").replaceChildren(...now.reply.map(([kind, text]) =>
      kind === "text" ? document.createTextNode(text) : html("mark", { class: kind, title: kind, text })));
    part("reasoning").hidden = !now.reasoning;
    part("reasoning").querySelector("pre").textContent = now.reasoning || "";
    part("asked").hidden = !now.asked;
    part("asked").querySelector("pre").textContent = now.asked || "";
    const facts = [
      ["reply", { ok: "read", partial: "partly valid", invalid: "no valid action", format: "unreadable" }[now.parse] || now.parse],
      ["stopped by", now.stop_reason],
      ["reward of the turn", signed(now.reward)],
      ["executed", `${plural(now.moves.length, "action")}${now.dropped?.length ? `, ${now.dropped.length} named but not executed` : ""}`],
      ["tokens", now.completion_tokens == null ? null : `${now.prompt_tokens} + ${now.completion_tokens}`],
      ["seconds", now.seconds ? now.seconds.toFixed(2) : null],
    ].filter(([, value]) => value !== null);
    part("facts").replaceChildren(...facts.map(([name, value]) => html("div", {}, html("dt", { text: name }), html("dd", { text: value }))));

    for (const stop of part("timeline").querySelectorAll(".stop")) {
      if (stop.dataset.at === `${turn}.${step}`) {
        stop.setAttribute("aria-current", "step");
        const strip = part("timeline");
        const [left, right] = [stop.offsetLeft - strip.offsetLeft, stop.offsetLeft - strip.offsetLeft + stop.offsetWidth];
        if (left < strip.scrollLeft) strip.scrollLeft = left - 24;
        else if (right > strip.scrollLeft + strip.clientWidth) strip.scrollLeft = right - strip.clientWidth + 24;
      } else stop.removeAttribute("aria-current");
    }
    const steps = episode.turns.map((t) => t.frames.length);
    const total = steps.reduce((a, b) => a + b, 0);
    const here = steps.slice(0, turn).reduce((a, b) => a + b, 0) + step + 1;
    part("position").textContent = `step ${here} of ${total}`;
    part("back").disabled = here === 1;
    part("forward").disabled = here === total;
    history.replaceState(null, "", `#${index.tasks[entry.task].name}:${entry.board}:${entry.repeat}:${turn}.${step}`);
  };

  // -- from outside ----------------------------------------------------------------------------------

  for (const name of ["back", "forward"]) part(name).onclick = () => episode && move[name]();
  part("previous").onclick = () => move.neighbour(-1);
  part("next").onclick = () => move.neighbour(1);

  const KEYS = {
    ArrowRight: move.forward, ArrowLeft: move.back, "]": move.nextTurn, "[": move.previousTurn,
    Home: move.first, End: move.last, n: () => move.neighbour(1), p: () => move.neighbour(-1),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || !episode) return;
    // elsewhere on the page, and in what scrolls, keys do what they always do
    if (event.target !== document.body && !root.contains(event.target)) return;
    if (event.target.closest("input, select, textarea, summary, pre, .scroll")) return;
    const act = KEYS[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });

  const fromAddress = () => {
    const match = /^([^:]+):([^:]+):(\d+):(\d+)\.(\d+)$/.exec(spa.fragment());
    if (!match) return null;
    const found = entries.find((e) => index.tasks[e.task].name === match[1] && e.board === match[2] && e.repeat === Number(match[3]));
    return found && { found, turn: Number(match[4]), step: Number(match[5]) };
  };

  const wanted = fromAddress();
  if (wanted) shownTask = wanted.found.task;
  showOverview();
  open(wanted ? wanted.found : listed()[0], wanted || {});
})();
