// Draws a board as SVG from a scene (what stays) and facts (what moves on it).
"use strict";

const spa = {};

spa.svg = (name, attributes = {}, ...children) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
};

spa.html = (name, attributes = {}, ...children) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "text") element.textContent = value;
    else if (value !== null && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children);
  return element;
};

// What follows the # of the address; nothing if it is malformed.
spa.fragment = () => {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return "";
  }
};

(() => {
  const CELL = 40;
  const MARGIN = 15; // for the numbers of rows and columns
  const svg = spa.svg;

  // each piece is drawn in the unit cell 0..40
  const pieces = {
    __proto__: null,
    target: () => [
      svg("path", { class: "target", d: "M20 5 35 20 20 35 5 20Z" }),
      svg("circle", { class: "target-dot", cx: 20, cy: 20, r: 2.6 }),
    ],
    box: () => [
      svg("rect", { class: "box", x: 7.5, y: 7.5, width: 25, height: 25, rx: 3 }),
      svg("path", { class: "box-line", d: "M12 12 28 28M28 12 12 28" }),
    ],
    "box on target": () => [
      svg("rect", { class: "box box-on", x: 7.5, y: 7.5, width: 25, height: 25, rx: 3 }),
      svg("path", { class: "box-line box-on-line", d: "M13 20.5 18.2 25.5 27.5 14.5" }),
    ],
    player: () => [
      svg("path", { class: "player", d: "M10.5 32.5c0-7 4.2-10.5 9.5-10.5s9.5 3.5 9.5 10.5Z" }),
      svg("circle", { class: "player", cx: 20, cy: 14, r: 6.4 }),
    ],
    hole: () => [
      svg("ellipse", { class: "hole", cx: 20, cy: 20.5, rx: 14, ry: 12.5 }),
      svg("path", { class: "hole-rim", d: "M8.5 17.5c2-5 6-7.5 11.5-7.5s9.5 2.5 11.5 7.5" }),
    ],
    goal: () => [
      svg("path", { class: "pole", d: "M13 34V7" }),
      svg("path", { class: "flag", d: "M13 7.5 31 13.5 13 19.5Z" }),
      svg("path", { class: "pole", d: "M8.5 34h9" }),
    ],
    unknown: () => [svg("circle", { class: "unknown", cx: 20, cy: 20, r: 9 })],
  };
  const ORDER = ["hole", "goal", "target", "box", "player"];

  const at = (row, col) => `${row},${col}`;

  const placed = (scene, facts, kind) =>
    (facts[kind] || []).filter(
      ([row, col]) =>
        Number.isInteger(row) && Number.isInteger(col) &&
        row >= scene.origin && row < scene.origin + scene.rows &&
        col >= scene.origin && col < scene.origin + scene.cols,
    );

  const ground = (scene) => {
    const group = svg("g");
    const width = scene.cols * CELL;
    const height = scene.rows * CELL;
    group.append(svg("rect", { class: `ground ${scene.world}`, width, height, rx: 4 }));
    let lines = "";
    for (let i = 1; i < scene.cols; i++) lines += `M${i * CELL} 0V${height}`;
    for (let i = 1; i < scene.rows; i++) lines += `M0 ${i * CELL}H${width}`;
    group.append(svg("path", { class: "grid", d: lines }));
    let walls = "";
    let gleams = "";
    scene.ground.forEach((line, row) => [...line].forEach((mark, col) => {
      if (mark === "#") walls += `M${col * CELL} ${row * CELL}h${CELL}v${CELL}h-${CELL}Z`;
      else if (scene.world === "frozenlake") gleams += `M${col * CELL + 6} ${row * CELL + 13}l7-7M${col * CELL + 6} ${row * CELL + 18}l3-3`;
    }));
    if (gleams) group.append(svg("path", { class: "gleam", d: gleams }));
    if (walls) group.append(svg("path", { class: "wall", d: walls }));
    if (scene.regions && scene.regions.length) {
      let thick = `M1 1H${width - 1}V${height - 1}H1Z`;
      for (let row = 0; row < scene.rows; row++) {
        for (let col = 0; col < scene.cols; col++) {
          const own = scene.regions[row][col];
          if (col && scene.regions[row][col - 1] !== own) thick += `M${col * CELL} ${row * CELL}v${CELL}`;
          if (row && scene.regions[row - 1][col] !== own) thick += `M${col * CELL} ${row * CELL}h${CELL}`;
        }
      }
      group.append(svg("path", { class: "region", d: thick }));
    }
    return group;
  };

  const piece = (name, row, col) =>
    svg("g", { transform: `translate(${col * CELL} ${row * CELL})` }, ...pieces[name]());

  const objects = (scene, facts) => {
    const group = svg("g");
    const targets = new Set(placed(scene, facts, "target").map(([r, c]) => at(r, c)));
    for (const kind of [...ORDER, ...Object.keys(facts).filter((k) => !ORDER.includes(k))]) {
      for (const [r, c] of placed(scene, facts, kind)) {
        const name = kind === "box" && targets.has(at(r, c)) ? "box on target" : kind;
        group.append(piece(name in pieces ? name : "unknown", r - scene.origin, c - scene.origin));
      }
    }
    return group;
  };

  const digits = (scene, facts) => {
    const group = svg("g");
    const letter = (row, col, text, kind) => group.append(svg("text", {
      class: `digit ${kind}`, x: (col + 0.5) * CELL, y: (row + 0.5) * CELL,
    }, text));
    for (const [r, c, value] of placed(scene, facts, "cell")) {
      const row = r - scene.origin;
      const col = c - scene.origin;
      const shown = scene.symbols[Number(value) - 1] || String(value);
      letter(row, col, shown, scene.ground[row][col] === "." ? "own" : "given");
    }
    if (!facts.cell) { // only the empty cells were named: the others are filled, with what is not said
      const empty = new Set(placed(scene, facts, "empty").map(([r, c]) => at(r, c)));
      for (let row = 0; row < scene.rows; row++) {
        for (let col = 0; col < scene.cols; col++) {
          if (!empty.has(at(row + scene.origin, col + scene.origin))) letter(row, col, "–", "unsaid");
        }
      }
    }
    return group;
  };

  const numbers = (scene) => {
    const group = svg("g", { class: "numbers" });
    for (let col = 0; col < scene.cols; col++) group.append(svg("text", { x: (col + 0.5) * CELL, y: -8 }, String(col + scene.origin)));
    for (let row = 0; row < scene.rows; row++) group.append(svg("text", { x: -8, y: (row + 0.5) * CELL }, String(row + scene.origin)));
    return group;
  };

  const marks = (scene, cells, kind) => {
    const group = svg("g");
    for (const [r, c] of cells) {
      const x = (c - scene.origin) * CELL;
      const y = (r - scene.origin) * CELL;
      group.append(svg("rect", { class: `mark ${kind}`, x: x + 1.5, y: y + 1.5, width: CELL - 3, height: CELL - 3, rx: 3 }));
    }
    return group;
  };

  const onBoard = (scene, [row, col]) =>
    row >= scene.origin && row < scene.origin + scene.rows && col >= scene.origin && col < scene.origin + scene.cols;

  const trail = (scene, before, after) => {
    const [from] = placed(scene, before, "player");
    const [to] = placed(scene, after, "player");
    if (!from || !to || at(...from) === at(...to)) return svg("g");
    const centre = ([r, c]) => [(c - scene.origin + 0.5) * CELL, (r - scene.origin + 0.5) * CELL];
    const [x1, y1] = centre(from);
    const [x2, y2] = centre(to);
    return svg("g", {}, svg("circle", { class: "trail-start", cx: x1, cy: y1, r: 4 }), svg("line", { class: "trail", x1, y1, x2, y2 }));
  };

  // Says a state in words, for whoever does not see the picture.
  spa.inWords = (facts) =>
    Object.entries(facts)
      .map(([kind, places]) => `${kind} at ${places.map((p) => `(${p[0]}, ${p[1]})${p[2] ? ` ${p[2]}` : ""}`).join(", ") || "no position"}`)
      .join("; ") || "nothing";

  // Cells of which two states differ.
  spa.changed = (before, after) => {
    const places = new Map();
    for (const kind of new Set([...Object.keys(before), ...Object.keys(after)])) {
      const [was, is] = [before, after].map((facts) => new Set((facts[kind] || []).map((p) => p.join(","))));
      for (const place of [...(before[kind] || []), ...(after[kind] || [])]) {
        if (was.has(place.join(",")) !== is.has(place.join(","))) places.set(at(place[0], place[1]), place);
      }
    }
    return [...places.values()].filter((p) => Number.isInteger(p[0]) && Number.isInteger(p[1]));
  };

  // frame: {facts, text?}; wrong: cells to mark; from: the frame before the action that led here.
  spa.board = (scene, frame, { label, wrong = [], from = null } = {}) => {
    if (scene.world === "text") {
      const text = frame.text === undefined ? spa.inWords(frame.facts).replaceAll("; ", "\n") : frame.text;
      return spa.html("pre", { class: "board text", "aria-label": label, text, tabindex: 0 });
    }
    const words = `${label}: ${spa.inWords(frame.facts)}${wrong.length ? `; differs from the truth at ${wrong.map((c) => `(${c[0]}, ${c[1]})`).join(", ")}` : ""}`;
    const width = scene.cols * CELL + MARGIN + 2;
    const height = scene.rows * CELL + MARGIN + 2;
    const picture = svg("svg", { class: "board", role: "img", "aria-label": words, viewBox: `${-MARGIN} ${-MARGIN} ${width} ${height}` });
    picture.append(ground(scene), numbers(scene));
    const changed = from ? spa.changed(from.facts, frame.facts).filter((cell) => onBoard(scene, cell)) : [];
    if (scene.world === "sudoku") picture.append(marks(scene, changed, "changed"), digits(scene, frame.facts));
    else picture.append(objects(scene, frame.facts), from ? trail(scene, from.facts, frame.facts) : svg("g"));
    picture.append(marks(scene, wrong.filter((cell) => onBoard(scene, cell)), "wrong"));
    return picture;
  };
})();
