// Two submissions, paired by board.
"use strict";

(() => {
  const place = document.getElementById("comparison");
  if (!place) return;
  const { html, svg } = spa;
  const data = JSON.parse(document.getElementById("compare-data").textContent);
  const [first, second, metric] = ["first", "second", "metric"].map((id) => document.getElementById(id));
  const arrivals = new Map();
  const loaded = new Map();
  spa.counts = (slug, counts) => arrivals.get(slug)?.(counts);

  const counts = (slug) => {
    if (!loaded.has(slug)) {
      loaded.set(slug, new Promise((resolve, reject) => {
        arrivals.set(slug, resolve);
        const script = html("script", { src: `submissions/${encodeURIComponent(slug)}/counts.js` });
        script.onerror = () => reject(new Error(`the boards of ${slug} are missing`));
        document.head.append(script);
      }));
    }
    return loaded.get(slug);
  };

  // 1 - C(n - c, k) / C(n, k): unbiased (Chen et al. 2021)
  const passAt = (n, c, k) => {
    if (n - c < k) return 1;
    let fails = 1;
    for (let i = 0; i < k; i++) fails *= (n - c - i) / (n - i);
    return 1 - fails;
  };

  const sum = (values) => values.reduce((s, x) => s + x, 0);
  const average = (values, weights) => (weights ? sum(values.map((x, i) => x * weights[i])) / sum(weights) : sum(values) / values.length);
  // What each board adds to a mean, in its linearisation: as many times as there are boards.
  const parts = (values, weights) => {
    const mean = average(values, weights), n = values.length;
    return weights ? values.map((x, i) => (n * weights[i] * (x - mean)) / sum(weights) + mean) : values;
  };
  // of the mean, squared
  const errorOf = (values) => {
    const mean = average(values);
    return sum(values.map((x) => (x - mean) ** 2)) / (values.length - 1) / values.length;
  };

  // Wilson's interval at the effective number of boards, as a table's scores have it.
  const wilson = (values, weights) => {
    const n = values.length, p = Math.min(Math.max(average(values, weights), 0), 1), error = errorOf(parts(values, weights)), t = data.student_t[n - 2];
    const effective = p > 0 && p < 1 && error > 0 ? Math.min((p * (1 - p)) / error, n) : n;
    const centre = (p + (t * t) / (2 * effective)) / (1 + (t * t) / effective);
    const half = (t / (1 + (t * t) / effective)) * Math.sqrt((p * (1 - p)) / effective + (t * t) / (4 * effective * effective));
    return { p, low: Math.max(0, Math.min(centre - half, p)), high: Math.min(1, Math.max(centre + half, p)) };
  };

  // Difference of two means over the same boards, with Student's interval; as `spa-bench compare`.
  // v and w: how much each board counts in either; without them, all the same.
  spa.paired = (a, b, v, w) => {
    const n = a.length;
    const others = parts(b, w);
    const differences = parts(a, v).map((x, i) => x - others[i]);
    const mean = average(differences);
    let below = data.student_t[n - 2] * Math.sqrt(errorOf(differences)), above = below;
    if (differences.every((d) => d === 0)) below = above = NaN;
    else if (below < 1e-12) { // all boards differ by the same: never 1 ± 0
      const [one, other] = [wilson(a, v), wilson(b, w)];
      below = Math.hypot(one.p - one.low, other.high - other.p);
      above = Math.hypot(one.high - one.p, other.p - other.low);
    }
    return { n, mean, low: Math.max(-1, mean - below), high: Math.min(1, mean + above), differences: a.map((x, i) => x - b[i]) };
  };

  const percent = (x, sign) => `${sign && x > 0 ? "+" : ""}${(100 * x).toFixed(1)}`.replace("-", "−");

  const strip = (differences) => {
    const sorted = [...differences].sort((x, y) => y - x);
    const picture = svg("svg", { class: "strip", viewBox: `0 -1 ${sorted.length} 42`, preserveAspectRatio: "none", role: "img",
      "aria-label": `${sorted.filter((d) => d > 0).length} boards better for the first, ${sorted.filter((d) => d < 0).length} for the second` });
    sorted.forEach((d, i) => {
      if (d) picture.append(svg("rect", { class: d > 0 ? "first" : "second", x: i + 0.1, width: 0.8, y: d > 0 ? 20 - 20 * d : 20, height: 20 * Math.abs(d) }));
    });
    picture.append(svg("path", { class: "middle", d: `M0 20H${sorted.length}` }));
    return picture;
  };

  const show = async () => {
    document.getElementById("problem").textContent = "";
    const k = Number(metric.value);
    let one, other;
    try {
      [one, other] = await Promise.all([counts(first.value), counts(second.value)]);
    } catch (error) {
      document.getElementById("problem").textContent = `These cannot be compared: ${error.message}.`;
      return;
    }
    const tasks = data.tasks.filter((task) => one[task] && other[task] && (k === 1 || !data.probes.includes(task)));
    if (!tasks.length) {
      place.replaceChildren(html("p", { class: "hint", text: k === 1 ? "They have no task in common." : "They have no task in common whose boards were played so often." }));
      return;
    }
    const name = (select) => select.selectedOptions[0].textContent.replace(` (${select.value})`, "");
    const head = html("tr", {}, ...["task", "boards", name(first), name(second), "difference", "better : equal : worse", "board by board"].map((text, i) => html("th", { scope: "col", class: i ? "" : "left", text })));
    const lines = tasks.map((task) => {
      const boards = Object.keys(one[task]).filter((b) => other[task][b] && one[task][b][0] >= k && other[task][b][0] >= k);
      if (boards.length < 2) return html("tr", {}, html("th", { scope: "row", class: "left", text: task }), html("td", { colspan: 6, text: "too few boards with enough samples" }));
      const [a, b] = [one, other].map((own) => boards.map((board) => passAt(...own[task][board], k)));
      // the items of a probe count the same, and a board as many times as it has some
      const [v, w] = data.probes.includes(task) ? [one, other].map((own) => boards.map((board) => own[task][board][0])) : [];
      const result = spa.paired(a, b, v, w);
      const [better, worse] = [result.differences.filter((d) => d > 1e-12).length, result.differences.filter((d) => d < -1e-12).length];
      const sure = result.low > 0 ? "the first is better" : result.high < 0 ? "the second is better" : "cannot be told apart";
      const interval = Number.isNaN(result.low) ? "on every board" : `${percent(result.low, true)} to ${percent(result.high, true)}`;
      const difference = html("td", { class: sure.startsWith("cannot") ? "muted" : "sure" }, percent(result.mean, true),
        html("span", { class: "range", text: interval }), html("span", { class: "range", text: sure }));
      return html("tr", { "data-task": task }, html("th", { scope: "row", class: "left", text: task }), html("td", { text: String(result.n) }),
        html("td", { text: percent(average(a, v)) }), html("td", { text: percent(average(b, w)) }), difference,
        html("td", { text: `${better} : ${result.n - better - worse} : ${worse}` }), html("td", { class: "strip-cell" }, strip(result.differences)));
    });
    place.replaceChildren(html("div", { class: "scroll" }, html("table", {}, html("thead", {}, head), html("tbody", {}, ...lines))));
    history.replaceState(null, "", `#${encodeURIComponent(first.value)}:${encodeURIComponent(second.value)}:${k}`);
  };

  const wanted = spa.fragment().split(":");
  [first, second, metric].forEach((select, i) => {
    if ([...select.options].some((option) => option.value === wanted[i])) select.value = wanted[i];
    select.addEventListener("change", show);
  });
  if (first.options.length > 1) show();
})();
