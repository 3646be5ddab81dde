"use strict";
// Shows the results of a job. The data are in this page: each piece is packed (zlib, base64) and opened when it is
// asked for. Nothing is ever requested, and every text is set as text.
(async () => {
  const ROW = 24, BAR = 14, MOST_TASKS = 500;
  // what differs between two hosts is often in the middle of their names, or at the end
  const short = (name, most) => name.length <= most ? name :
    `${name.slice(0, Math.ceil(most / 3))}\u2026${name.slice(name.length - most + Math.ceil(most / 3) + 1)}`;
  const room = () => (window.innerWidth < 640 ? 14 : 30);
  const one = (id) => document.getElementById(id);
  const unpack = async (id) => {
    const coded = atob(one(id).textContent);
    const bytes = new Uint8Array(coded.length);
    for (let i = 0; i < coded.length; i++) bytes[i] = coded.charCodeAt(i);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return JSON.parse(await new Response(stream).text());
  };
  const data = await unpack("data"), texts = await unpack("texts");
  const { host, task, outcome, start, took, chunk, place } = data.columns;
  const total = host.length;
  if (!total) return;
  const names = data.hosts.map((name) => name.toLowerCase());
  const titles = data.tasks.map((parts) => parts.join(" ").toLowerCase());
  const FAILURES = new Set(["failed", "unreachable"].map((name) => data.outcomes.indexOf(name)));

  const state = { query: "", shown: new Set(data.outcomes.keys()), host: -1, task: -1, longest: false };
  let found = [], chosen = -1, inOutput = new Set(), searching = 0;

  // ---- which results are shown

  const fits = (i) => state.shown.has(outcome[i]) && (state.host < 0 || host[i] === state.host) &&
    (state.task < 0 || task[i] === state.task) &&
    (!state.query || names[host[i]].includes(state.query) || titles[task[i]].includes(state.query) ||
      texts[i].toLowerCase().includes(state.query) || inOutput.has(i));
  const filter = () => {
    const kept = chosen >= 0 && chosen < found.length ? found[chosen] : -1;
    found = [];
    for (let i = 0; i < total; i++) if (fits(i)) found.push(i);
    if (state.longest) found.sort((a, b) => took[b] - took[a]);
    chosen = found.indexOf(kept);
    one("space").style.height = `${found.length * ROW}px`;
    count();
    draw();
    drawTimeline();
  };
  const count = (more = "") => {
    const only = [state.host >= 0 ? `host ${data.hosts[state.host]}` : "",
      state.task >= 0 ? `task ${data.tasks[state.task][0]}` : "", state.longest ? "longest first" : ""];
    const left = data.left_out ? `the output of ${data.left_out} results was left out to keep this page small` : "";
    one("count").textContent = [`${found.length} of ${total} results`, ...only, more, left].filter(Boolean).join(", ");
  };

  // ---- search in what results said, piece by piece

  const searchOutput = async () => {
    const mine = ++searching, query = state.query;
    inOutput = new Set();
    if (query.length < 2) return;
    const members = Array.from({ length: data.chunks }, () => []);
    for (let i = 0; i < total; i++) if (chunk[i] >= 0) members[chunk[i]].push(i);
    for (let number = 0; number < data.chunks; number++) {
      const pieces = await unpack(`chunk${number}`);
      if (mine !== searching) return;
      for (const i of members[number]) if (pieces[place[i]].toLowerCase().includes(query)) inOutput.add(i);
      if (number % 8 === 7) count(`searching output, ${Math.round(100 * number / data.chunks)} %`);
    }
    filter();
    one("results").dataset.searched = query;
  };
  let waiting = 0;
  const search = (text) => {
    state.query = text.trim().toLowerCase();
    inOutput = new Set();
    searching++;
    filter();
    clearTimeout(waiting);
    waiting = setTimeout(searchOutput, 200);
  };

  // ---- the list of results: only the rows that are seen exist

  const cell = (row, kind, text, whole = text) => {
    const span = document.createElement("span");
    span.className = kind;
    span.textContent = text;
    span.title = whole;
    row.append(span);
  };
  const seconds = (ms) => `${(ms / 1000).toFixed(ms < 10000 ? 2 : 0)} s`;
  const draw = () => {
    const list = one("results"), space = one("space");
    const from = Math.max(0, Math.floor(list.scrollTop / ROW) - 5);
    const to = Math.min(found.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + 5);
    space.replaceChildren();
    for (let at = from; at < to; at++) {
      const i = found[at], row = document.createElement("div");
      row.className = "row";
      row.id = `row${at}`;
      row.style.top = `${at * ROW}px`;
      row.setAttribute("role", "option");
      row.setAttribute("aria-selected", String(at === chosen));
      cell(row, data.outcomes[outcome[i]], data.outcomes[outcome[i]]);
      cell(row, "", short(data.hosts[host[i]], room()), data.hosts[host[i]]);
      cell(row, "", data.tasks[task[i]][0]);
      cell(row, "took", seconds(took[i]));
      cell(row, "first", texts[i]);
      row.addEventListener("click", () => { choose(at); open(); });
      space.append(row);
    }
    list.setAttribute("aria-activedescendant", chosen >= 0 ? `row${chosen}` : "");
  };
  const choose = (at) => {
    if (!found.length) return;
    chosen = Math.max(0, Math.min(found.length - 1, at));
    const list = one("results"), top = chosen * ROW;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
    draw();
    if (!one("output").hidden) open();
  };
  let opening = 0;
  const open = async () => {
    if (chosen < 0) return;
    const mine = ++opening, i = found[chosen], [name, play, path, action] = data.tasks[task[i]], panel = one("output");
    const head = document.createElement("p"), text = document.createElement("pre");
    const when = new Date(data.begun + start[i]).toISOString().replace("T", " ").replace("Z", "");
    head.textContent = `${data.hosts[host[i]]}: ${data.outcomes[outcome[i]]} after ${seconds(took[i])}, ` +
      `${name} (${action}) ${path}, play ${play}, began ${when} UTC`;
    text.textContent = chunk[i] < 0 ? "This output was left out to keep the page small." :
      (await unpack(`chunk${chunk[i]}`))[place[i]] || "It said nothing.";
    if (mine !== opening) return;  // another one was chosen meanwhile
    panel.replaceChildren(head, text);
    panel.hidden = false;
  };
  const close = () => { opening++; one("output").hidden = true; one("output").replaceChildren(); };

  // ---- hosts over time

  const canvas = one("canvas"), line = one("timeline");
  const end = start.reduce((latest, begin, i) => Math.max(latest, begin + took[i]), 1);
  const order = [...data.hosts.keys()].sort((a, b) => data.hosts[a].localeCompare(data.hosts[b], undefined, { numeric: true }));
  const rowOf = new Array(order.length);
  order.forEach((number, row) => { rowOf[number] = row; });
  const ofHost = data.hosts.map(() => []);
  for (let i = 0; i < total; i++) ofHost[host[i]].push(i);
  one("timeline-space").style.height = `${order.length * BAR}px`;
  line.style.height = `${Math.min(416, order.length * BAR + 2)}px`;
  const label = () => Math.min(180, line.clientWidth / 4);
  const drawTimeline = () => {
    const width = line.clientWidth, height = line.clientHeight, ratio = window.devicePixelRatio || 1;
    if (!width) return;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    canvas.style.height = `${height}px`;
    const pen = canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
    const colours = data.outcomes.map((name) => style.getPropertyValue(`--${name}`));
    pen.scale(ratio, ratio);
    pen.font = "11px system-ui, sans-serif";
    pen.textBaseline = "middle";
    const left = label(), scale = (width - left - 4) / end;
    const from = Math.floor(line.scrollTop / BAR), to = Math.min(order.length, from + Math.ceil(height / BAR) + 1);
    for (let row = from; row < to; row++) {
      const y = row * BAR - line.scrollTop;
      pen.globalAlpha = 1;
      pen.fillStyle = style.getPropertyValue("--text");
      pen.fillText(short(data.hosts[order[row]], room()), 4, y + BAR / 2, left - 8);
      for (const i of ofHost[order[row]]) {
        pen.globalAlpha = fits(i) ? 0.85 : 0.12;
        pen.fillStyle = colours[outcome[i]];
        pen.fillRect(left + start[i] * scale, y + 2, Math.max(1, took[i] * scale), BAR - 4);
      }
    }
  };
  const under = (event) => {
    const box = line.getBoundingClientRect();
    const number = order[Math.floor((event.clientY - box.top + line.scrollTop) / BAR)];
    if (number === undefined) return -1;
    const at = (event.clientX - box.left - label()) / ((line.clientWidth - label() - 4) / end), near = end / 300;
    return ofHost[number].find((i) => at >= start[i] - near && at <= start[i] + took[i] + near) ?? -1;
  };
  line.addEventListener("mousemove", (event) => {
    const i = under(event);
    one("under").textContent = i < 0 ? "\u00a0" :
      `${data.hosts[host[i]]}: ${data.tasks[task[i]][0]}, ${data.outcomes[outcome[i]]}, ${seconds(took[i])}`;
  });
  line.addEventListener("click", (event) => {
    const at = found.indexOf(under(event));
    if (at >= 0) { choose(at); open(); one("results").focus(); }
  });
  line.addEventListener("scroll", drawTimeline);

  // ---- tasks

  const taskTable = () => {
    const sums = data.tasks.map(() => ({ counts: data.outcomes.map(() => 0), longest: 0, slowest: -1, all: 0 }));
    for (let i = 0; i < total; i++) {
      const sum = sums[task[i]];
      sum.counts[outcome[i]]++;
      sum.all += took[i];
      if (took[i] >= sum.longest) { sum.longest = took[i]; sum.slowest = host[i]; }
    }
    const row = (tag, values, first) => {
      const made = document.createElement("tr");
      values.forEach((value, number) => {
        const made_cell = document.createElement(number ? tag : "th");
        if (number || !first) made_cell.textContent = value; else made_cell.append(first);
        made.append(made_cell);
      });
      return made;
    };
    const shown = data.outcomes.map((name, number) => number).filter((number) => sums.some((sum) => sum.counts[number]));
    const [head, body] = one("tasks").children;
    head.append(row("th", ["task", "longest", "at", "mean", ...shown.map((number) => data.outcomes[number])]));
    sums.map((sum, number) => number).filter((number) => sums[number].slowest >= 0)
      .sort((a, b) => sums[b].longest - sums[a].longest).slice(0, MOST_TASKS).forEach((number) => {
        const sum = sums[number], button = document.createElement("button"), done = sum.counts.reduce((a, b) => a + b);
        button.type = "button";
        button.textContent = data.tasks[number][0];
        button.title = `only this task: ${data.tasks[number][2]}`;
        button.addEventListener("click", () => { state.task = number; filter(); one("results").focus(); });
        body.append(row("td", ["", seconds(sum.longest), data.hosts[sum.slowest], seconds(sum.all / done),
          ...shown.map((kind) => sum.counts[kind] || "")], button));
      });
  };

  // ---- keys and buttons

  const buttons = data.outcomes.map((name, number) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = name;
    button.title = String(number + 1);
    button.textContent = `${name} ${outcome.reduce((sum, kind) => sum + (kind === number), 0)}`;
    button.addEventListener("click", () => toggle(number));
    one("outcomes").append(button);
    return button;
  });
  const press = () => buttons.forEach((button, number) => button.setAttribute("aria-pressed", String(state.shown.has(number))));
  const toggle = (number) => {
    if (!state.shown.delete(number)) state.shown.add(number);
    press();
    filter();
  };
  const onlyFailures = () => {
    const already = state.shown.size === FAILURES.size && [...FAILURES].every((kind) => state.shown.has(kind));
    state.shown = already ? new Set(data.outcomes.keys()) : new Set(FAILURES);
    press();
    filter();
  };
  const clear = () => {
    Object.assign(state, { query: "", shown: new Set(data.outcomes.keys()), host: -1, task: -1, longest: false });
    one("search").value = "";
    inOutput = new Set();
    searching++;
    press();
    close();
    filter();
  };
  const help = () => {
    one("help").hidden = !one("help").hidden;
    one("help-button").setAttribute("aria-expanded", String(!one("help").hidden));
  };
  const page = () => Math.max(1, Math.floor(one("results").clientHeight / ROW) - 1);
  const keys = {
    "/": () => one("search").focus(), f: onlyFailures, "?": help, Escape: clear,
    j: () => choose(chosen + 1), k: () => choose(chosen - 1), ArrowDown: () => choose(chosen + 1), ArrowUp: () => choose(chosen - 1),
    PageDown: () => choose(chosen + page()), PageUp: () => choose(chosen - page()),
    g: () => choose(0), G: () => choose(found.length - 1), Home: () => choose(0), End: () => choose(found.length - 1),
    Enter: () => (one("output").hidden ? open() : close()),
    h: () => { state.host = state.host >= 0 || chosen < 0 ? -1 : host[found[chosen]]; filter(); },
    t: () => { state.task = state.task >= 0 || chosen < 0 ? -1 : task[found[chosen]]; filter(); },
    s: () => { state.longest = !state.longest; filter(); },
  };
  const LIST_ONLY = new Set(["ArrowDown", "ArrowUp", "PageDown", "PageUp", "Home", "End", "Enter"]);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const inList = document.activeElement === one("results");
    if (document.activeElement === one("search")) {
      if (event.key === "Escape") { clear(); one("search").blur(); }
      else if (event.key === "Enter" || event.key === "ArrowDown") { one("results").focus(); choose(0); event.preventDefault(); }
      return;
    }
    const number = "1234567".indexOf(event.key);
    if (number >= 0 && number < data.outcomes.length) toggle(number);
    else if (keys[event.key] && (inList || !LIST_ONLY.has(event.key))) {
      if (!inList && "jkgG".includes(event.key)) one("results").focus();
      keys[event.key]();
      event.preventDefault();
    }
  });
  one("search").addEventListener("input", (event) => search(event.target.value));
  one("clear").addEventListener("click", clear);
  one("help-button").addEventListener("click", help);
  one("results").addEventListener("scroll", draw);
  window.addEventListener("resize", () => { draw(); drawTimeline(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawTimeline);
  for (const id of ["results-section", "timeline-section", "tasks-section"]) one(id).hidden = false;
  press();
  taskTable();
  filter();
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
})();
