// What the shim does to a page: a page in jsdom, a stream that the test speaks for, and frames that it draws.
import assert from "node:assert/strict";
import { test } from "node:test";
import { BADGES, ONE, Page as Base, TWO, address, list, row, token } from "./page.mjs";

function status(id, state) {
  const [sign, word] = BADGES[state].split(" ");
  return `<div id="${id}-status"><span class="liveop-badge"><span class="liveop-sign">${sign}</span> <span class="liveop-word">${word}</span></span></div>`;
}

function progress(id, percent) {
  return `<div id="${id}-progress"><progress max="100"${percent === undefined ? "" : ` value="${percent}"`}></progress></div>`;
}

function stages(id, ...names) {
  const list = names.map((name, at) => `<li${at ? "" : ' aria-current="step"'}><bdi>${name}</bdi></li>`).join("");
  return `<div id="${id}-stages"><ol>${list}</ol></div>`;
}

function lines(id, from, to, word = "line") {
  let html = "";
  for (let n = from; n <= to; n++) html += `<div id="${id}-log-${n}">${word} ${n}</div>`;
  return html;
}

function container(id, { state = "running", percent = 10, log = 3, extra = "", more = "", over = false } = {}) {
  return `<section id="${id}" class="liveop" data-liveop-channel="liveop.${id.slice(3)}" data-liveop-stream="/stream" data-liveop-state="${state}"
    ${over ? "" : `data-liveop-token="${token()}"`} data-liveop-page="${address(id)}" data-liveop-log-tail="200" ${more}>
    ${status(id, state)}<h1 class="liveop-title">Import</h1>${stages(id)}${progress(id, percent)}<div id="${id}-result"></div>
    <div id="${id}-extra">${extra}</div><div id="${id}-log"><div id="${id}-log-lines" tabindex="0">${lines(id, 1, log)}</div></div>
    <div class="liveop-connection" hidden></div></section>`;
}

/** A page with the shim in it, whose frames and timers come when the test says so. */
class Page extends Base {
  constructor(body = container(ONE), { path } = {}) {
    super(`<!doctype html><meta name="liveops-csrf" content="c"><title>The site</title>${body}`, { path });
    Object.assign(this, { frames: [], timers: [], fetched: [], answers: {} });
    this.run({
      requestAnimationFrame: (action) => (this.frames.push(action), action),
      cancelAnimationFrame: (action) => { this.frames = this.frames.filter((one) => one !== action); },
      setTimeout: (action, delay) => this.timers.push({ action, delay }),
      clearTimeout: (id) => { delete this.timers[id - 1]; },
      fetch: async (url) => {
        const { pathname } = new URL(url, "https://host.example");
        this.fetched.push(pathname);
        const body = await this.answers[pathname];
        return { status: body ? 200 : 500, ok: !!body, type: "basic", text: async () => body };
      },
    });
  }

  fragment(id, swap, html, cursor = "") {
    this.speak("fragment", { id, swap, html }, cursor);
  }

  /** Draws a frame; the answer is how many callbacks waited for it. */
  frame() {
    const due = this.frames.splice(0);
    due.forEach((action) => action());
    return due.length;
  }

  /** Draws a frame, and lets what waits for so many milliseconds at most have its turn. */
  settle(most = 200) {
    this.frame();
    for (const [id, timer] of Object.entries(this.timers)) {
      if (timer.delay > most) continue;
      delete this.timers[id];
      timer.action();
    }
  }

  async answered() {
    for (let i = 0; i < 5; i++) await new Promise(setImmediate);
  }

  log(id = ONE) {
    return [...this.get(`${id}-log-lines`).children].map((line) => Number(line.id.split("-").pop()));
  }
}

const upTo = (n, from = 1) => Array.from({ length: n - from + 1 }, (_, i) => from + i);

test("each swap does what it is called", () => {
  const page = new Page(container(ONE, { extra: `<div id="${ONE}-a"><i>old</i></div>` }));
  const own = () => page.get(`${ONE}-extra`).innerHTML;
  page.fragment(`${ONE}-a`, "outer", `<div id="${ONE}-a" class="new"><b>1</b></div>`);
  page.frame();
  assert.equal(own(), `<div id="${ONE}-a" class="new"><b>1</b></div>`);
  page.fragment(`${ONE}-a`, "inner", "text <b>2</b>");
  page.frame();
  assert.equal(own(), `<div id="${ONE}-a" class="new">text <b>2</b></div>`);
  page.fragment(`${ONE}-a`, "append", `<i id="${ONE}-z">z</i>`);
  page.fragment(`${ONE}-a`, "prepend", `<i id="${ONE}-y">y</i>`);
  page.frame();
  assert.equal(own(), `<div id="${ONE}-a" class="new"><i id="${ONE}-y">y</i>text <b>2</b><i id="${ONE}-z">z</i></div>`);
  page.fragment(`${ONE}-a`, "morph", "unknown");
  page.fragment(`${ONE}-y`, "outer", "");
  page.frame();
  assert.equal(own(), `<div id="${ONE}-a" class="new">text <b>2</b><i id="${ONE}-z">z</i></div>`);
  page.fragment(`${ONE}-a`, "outer", `<p id="${ONE}-a">another element</p>`);
  page.frame();
  assert.equal(own(), `<p id="${ONE}-a">another element</p>`);
});

test("a list's row survives without its table", () => {
  const page = new Page(list([row(1, "one")]), { path: "/operations" });
  page.fragment("operations-rows", "prepend", row(2, "two"));
  page.fragment("op-1-row", "outer", row(1, "changed"));
  page.frame();
  assert.equal(page.get("operations-rows").innerHTML, row(2, "two") + row(1, "changed"));
});

test("ids of others are left alone", () => {
  const outside = `<p id="outside">mine</p><p id="${ONE}-outside">mine too</p>`;
  const page = new Page(outside + container(ONE) + container(TWO) + list([row(1, "one")]));
  const before = page.document.body.innerHTML;
  const [one, , rows] = page.streams;
  const hostile = `<b id="x">hostile</b>`;
  const send = (stream, id) => ["outer", "inner", "append", "prepend"].forEach((swap) => page.speak("fragment", { id, swap, html: hostile }, "", stream));
  for (const id of [ONE, TWO, `${TWO}-status`, "outside", `${ONE}-outside`, "operations", "operations-rows", "op-1-row", "", "html", "liveop-status"]) send(one, id);
  for (const id of ["operations", "outside", ONE, `${ONE}-status`, `${ONE}-log-1`, `${ONE}-row`]) send(rows, id);
  page.frame();
  assert.equal(page.document.querySelectorAll("#x").length, 0);
  const after = page.document.body.innerHTML;
  assert.equal(after.replaceAll(/<div class="liveop-connection".*?<\/div>/g, ""), before.replaceAll(/<div class="liveop-connection".*?<\/div>/g, ""));
  assert.deepEqual(page.events, []);
});

test("a fragment brings no second element of an id that is somewhere else", () => {
  const page = new Page(`<p id="outside">mine</p>${container(ONE)}${container(TWO)}`);
  const html = `<p id="outside">no</p><p id="${TWO}-status">no</p>${lines(ONE, 4, 4)}`;
  page.speak("fragment", { id: `${ONE}-log-lines`, swap: "append", html }, "", page.streams[0]);
  page.frame();
  assert.deepEqual(page.log(ONE), [1, 2, 3, 4]);
  assert.equal(page.get("outside").textContent, "mine");
  assert.equal(page.document.querySelectorAll(`[id="${TWO}-status"]`).length, 1);
});

test("what is said again changes nothing, and what it is said of stays the same node", () => {
  const page = new Page();
  const nodes = [...page.get(`${ONE}-log-lines`).children];
  for (let i = 0; i < 2; i++) page.fragment(`${ONE}-log-lines`, "append", lines(ONE, 2, 5));
  page.frame();
  assert.deepEqual(page.log(), [1, 2, 3, 4, 5]);
  assert.deepEqual([...page.get(`${ONE}-log-lines`).children].slice(0, 3), nodes);
  page.fragment(`${ONE}-log-lines`, "append", `<p id="${ONE}-log-2">another element</p>`);
  page.frame();
  assert.deepEqual(page.log(), [1, 2, 3, 4, 5]);
  assert.equal(page.get(`${ONE}-log-2`).outerHTML, `<p id="${ONE}-log-2">another element</p>`);
});

test("focus, what was typed, and what was opened or closed are the reader's", () => {
  const html = (open, note) =>
    `<div id="${ONE}-a"><p>${note}</p><details${open ? " open" : ""}><summary>more</summary></details><input value="${note}"><button>Go</button></div>`;
  const page = new Page(container(ONE, { extra: html(true, "first") }));
  const say = (open, note) => {
    page.fragment(`${ONE}-a`, "outer", html(open, note));
    page.frame();
  };
  const [details, input, button] = ["details", "input", "button"].map((name) => page.get(`${ONE}-a`).querySelector(name));
  input.value = "typed";
  input.focus();
  input.setSelectionRange(1, 3);
  details.open = false;
  say(true, "second");
  say(true, "third");
  assert.equal(page.get(`${ONE}-a`).querySelector("p").textContent, "third");
  assert.equal(page.document.activeElement, input);
  assert.deepEqual([input.value, input.selectionStart, input.selectionEnd], ["typed", 1, 3]);
  assert.equal(details.open, false, "closed by the reader");
  say(false, "fourth");
  details.open = true;
  say(false, "fifth");
  assert.equal(details.open, true, "opened by the reader");
  details.open = false;
  say(true, "sixth");
  assert.equal(details.open, true, "the server changed its mind");
  button.focus();
  page.fragment(`${ONE}-a`, "outer", "");
  page.frame();
  assert.equal(page.document.activeElement, page.document.querySelector("h1"), "what had the focus is gone");
});

test("a button that stays keeps its node among others that come and go", () => {
  const page = new Page(container(ONE, { extra: `<div id="${ONE}-a"><p>1</p><button>Go</button></div>` }));
  const button = page.get(`${ONE}-a`).querySelector("button");
  page.fragment(`${ONE}-a`, "outer", `<div id="${ONE}-a"><button>Go</button><p>2</p></div>`);
  page.fragment(`${ONE}-a`, "outer", `<div id="${ONE}-a">text<button>Go on</button></div>`);
  page.frame();
  assert.equal(page.get(`${ONE}-a`).querySelector("button"), button);
  assert.equal(page.get(`${ONE}-a`).outerHTML, `<div id="${ONE}-a">text<button>Go on</button></div>`);
});

test("all that came is painted once, with the next frame, in its order", () => {
  const page = new Page();
  page.frame();
  page.speak("state", { state: "running" });
  for (let percent = 11; percent <= 60; percent++) page.fragment(`${ONE}-progress`, "outer", progress(ONE, percent));
  page.fragment(`${ONE}-log-lines`, "append", lines(ONE, 4, 4));
  page.speak("state", { state: "cancelling" });
  assert.deepEqual([page.log(), page.events], [[1, 2, 3], []], "nothing yet");
  assert.equal(page.frames.length, 1);
  page.frame();
  assert.deepEqual(page.log(), [1, 2, 3, 4]);
  const told = page.events.map(({ type, id, state }) => `${type} ${state ?? id.slice(ONE.length + 1)}`);
  assert.deepEqual(told, ["liveop:state running", ...Array(50).fill("liveop:fragment progress"), "liveop:fragment log-lines", "liveop:state cancelling"]);
  assert.equal(page.frames.length, 0);
});

test("a tab that is hidden before its next frame has all of it, and comes back with its cursor", () => {
  const page = new Page();
  page.fragment(`${ONE}-log-lines`, "append", lines(ONE, 4, 4), "cursor-4");
  page.turn(true);
  assert.deepEqual(page.log(), [1, 2, 3, 4]);
  assert.equal(page.streams[0].readyState, 2);
  page.turn(false);
  assert.equal(page.streams.at(-1).url.searchParams.get("last_event_id"), "cursor-4");
});

test("where no frames come, it does not gather without end", () => {
  const page = new Page();
  for (let n = 4; n < 304; n++) page.fragment(`${ONE}-log-lines`, "append", lines(ONE, n, n));
  assert.ok(page.log().length > 100, `${page.log().length} lines`);
});

test("a log's tail is kept, and no more", () => {
  const page = new Page();
  page.fragment(`${ONE}-log-lines`, "append", lines(ONE, 4, 150));
  page.fragment(`${ONE}-log-lines`, "append", lines(ONE, 151, 300));
  while (page.frame());
  assert.deepEqual(page.log(), upTo(300, 101));
});

for (const swap of ["append", "outer"]) {
  test(`a long log comes in lots, and what comes after it waits (${swap})`, () => {
    const page = new Page(container(ONE, { more: "" }).replace('log-tail="200"', 'log-tail="10000"'));
    const all = swap === "outer" ? `<div id="${ONE}-log-lines">${lines(ONE, 2, 1303)}</div>` : lines(ONE, 2, 1303);
    const first = page.get(`${ONE}-log-2`);
    page.fragment(`${ONE}-log-lines`, swap, all);
    page.speak("end", { state: "succeeded" });
    const seen = [];
    while (page.frame()) seen.push(page.log().length);
    const begin = swap === "outer" ? 2 : 1;
    assert.deepEqual(page.log(), upTo(1303, begin));
    assert.equal(page.get(`${ONE}-log-2`), first);
    const most = Math.max(...seen.map((count, at) => count - (seen[at - 1] ?? 3)));
    assert.equal(most, 250, `${seen}`);
    const told = page.events.map(({ type, swap }) => swap ?? type);
    assert.deepEqual(told, [swap, ...Array(5).fill("append"), "liveop:end"], "each lot, and in order");
  });
}

/** Draws all frames. Each does at most a lot of the lines that say another word, and has them in their order. */
function inLots(page, word) {
  const done = () => page.get(`${ONE}-log-lines`).textContent.split(word).length - 1;
  const most = [];
  for (let before = done(); page.frame(); before = done()) {
    most.push(done() - before);
    assert.deepEqual(page.log(), upTo(page.log().at(-1), page.log()[0]));
  }
  assert.equal(Math.max(...most), 250, `${most}`);
}

/** A page whose log has this many lines, of any number. */
function long(log, more) {
  return container(ONE, { log, ...more }).replace('log-tail="200"', 'log-tail="10000"');
}

test("a log that comes again comes in lots too, and its lines stay the same nodes", () => {
  const page = new Page(long(1200));
  const nodes = [...page.get(`${ONE}-log-lines`).children];
  const line = nodes[900].firstChild;
  page.window.getSelection().setBaseAndExtent(line, 0, line, 4);
  page.fragment(`${ONE}-log-lines`, "outer", `<div id="${ONE}-log-lines">${lines(ONE, 101, 1210, "again")}</div>`);
  page.fragment(`${ONE}-log-lines`, "append", lines(ONE, 1211, 1212, "again"));
  page.frame();
  assert.deepEqual(page.log(), upTo(1200, 101), "what comes again is not gone meanwhile");
  inLots(page, "again");
  assert.deepEqual(page.log(), upTo(1212, 101));
  assert.deepEqual([...page.get(`${ONE}-log-lines`).children].slice(0, 1100), nodes.slice(100));
  assert.equal(page.window.getSelection().focusNode, line);
  assert.equal(page.get(`${ONE}-log-lines`).textContent.includes("line"), false);
});

test("a log of other lines takes the place of the one before, whatever numbers they have", () => {
  for (const [from, to] of [[2001, 2600], [1, 600], [700, 1100], [501, 900], [1, 3]]) {
    const page = new Page(long(0));
    page.fragment(`${ONE}-log-lines`, "append", lines(ONE, 501, 1000));
    while (page.frame());
    page.fragment(`${ONE}-log-lines`, "outer", `<div id="${ONE}-log-lines">${lines(ONE, from, to, "new")}</div>`);
    page.frame();
    assert.equal(page.get(`${ONE}-log-${from}`)?.textContent, `new ${from}`);
    while (page.frame());
    assert.deepEqual(page.log(), upTo(to, from));
    assert.equal(page.get(`${ONE}-log-lines`).textContent.includes("line"), false);
  }
});

test("what takes long to parse has a frame of its own", () => {
  const page = new Page();
  page.frame();
  const seen = () => [page.document.querySelector("progress").value, page.get(`${ONE}-extra`).textContent.length > 90_000];
  page.fragment(`${ONE}-progress`, "outer", progress(ONE, 50));
  page.fragment(`${ONE}-extra`, "inner", `<p>${"x".repeat(100_001)}</p>`);
  page.fragment(`${ONE}-progress`, "outer", progress(ONE, 60));
  page.frame();
  assert.deepEqual(seen(), [50, false], "parsed, and no more");
  page.frame();
  assert.deepEqual(seen(), [60, true]);
  page.fragment(`${ONE}-progress`, "outer", progress(ONE, 70));
  page.fragment(`${ONE}-extra`, "inner", "");
  page.fragment(`${ONE}-extra`, "inner", `<p>${"x".repeat(99_000)}</p>`);
  page.frame();
  assert.deepEqual(seen(), [70, true], "less does not wait");
});

test("a page that is fetched brings its log, of which the tail stays", async () => {
  const page = new Page();
  page.answers[address()] = container(ONE, { log: 300 });
  page.stream.onerror(new page.window.Event("error"));
  page.settle();
  await page.answered();
  page.frame();
  assert.deepEqual(page.log(), upTo(300, 101));
});

test("the log of a page that is fetched comes in lots, and the end after it", async () => {
  const page = new Page(long(1200));
  page.answers[address()] = long(1300, { state: "succeeded", over: true }).replaceAll("line ", "again ");
  page.stream.onerror(new page.window.Event("error"));
  page.settle();
  await page.answered();
  assert.equal(page.get(ONE).dataset.liveopState, "succeeded");
  assert.deepEqual(page.log(), upTo(1200), "what comes again is not gone meanwhile");
  const ended = () => page.events.some(({ type }) => type === "liveop:end");
  assert.equal(ended(), false);
  inLots(page, "again");
  assert.deepEqual(page.log(), upTo(1300));
  assert.equal(ended(), true);
});

test("a form's field may have any name", async () => {
  for (const name of ["id", "method", "attributes", "childNodes", "remove", "getAttribute"]) {
    const page = new Page();
    const region = `<div id="${ONE}-extra"><form id="${ONE}-f" method="post"><input name="${name}"></form></div>`;
    for (const turn of [1, 2]) {
      page.fragment(`${ONE}-extra`, "outer", region);
      page.fragment(`${ONE}-progress`, "outer", progress(ONE, 50 + turn));
      page.frame();
      assert.equal(page.document.querySelector("progress").value, 50 + turn, `what follows ${name} counts all the same`);
    }
    assert.equal(page.document.querySelectorAll("form").length, 1, name);
  }
});

test("what the page adds later is followed, and what it takes away no longer", async () => {
  const page = new Page("<main>another view</main>");
  const main = page.document.querySelector("main");
  assert.equal(page.streams.length, 0);
  main.innerHTML = container(ONE);
  await page.answered();
  page.fragment(`${ONE}-progress`, "outer", progress(ONE, 70));
  page.frame();
  assert.deepEqual([page.streams.length, page.document.title], [1, "70 % · Import"]);
  assert.equal(page.document.querySelectorAll("body > [role]").length, 2);
  main.innerHTML = container(TWO);
  await page.answered();
  assert.deepEqual(page.streams.map(({ readyState }) => readyState), [2, 0], "at once");
  main.append(page.document.createElement("p"));
  await page.answered();
  assert.deepEqual([page.streams.length, page.document.querySelectorAll("body > [role]").length], [2, 2], "once");
});

test("where the page takes its container away, nothing is done to it any more", () => {
  const page = new Page();
  page.get(ONE).remove();
  page.document.title = "another view";
  page.fragment(`${ONE}-progress`, "outer", progress(ONE, 70));
  page.frame();
  assert.deepEqual([page.document.title, page.stream.readyState], ["another view", 2]);
});

test("a long log is whole at once when its tab is hidden", () => {
  const page = new Page(container(ONE).replace('log-tail="200"', 'log-tail="10000"'));
  page.fragment(`${ONE}-log-lines`, "append", lines(ONE, 4, 2000), "c");
  page.frame();
  assert.ok(page.log().length < 2000);
  page.turn(true);
  assert.deepEqual(page.log(), upTo(2000));
});

test("what a list's stream says while its page is fetched comes after the page", async () => {
  const path = "/operations";
  const page = new Page(list([row(1, "one"), row(9, "gone since")]), { path });
  page.speak("ping", {});
  page.streams[0].onerror(new page.window.Event("error"));
  page.settle(1000);
  let answer;
  page.answers[path] = new Promise((give) => { answer = give; });
  const stream = page.streams.at(-1);
  assert.notEqual(stream, page.streams[0]);
  stream.onopen?.();
  page.fragment("op-1-row", "outer", row(1, "newer than the page"));
  page.fragment("operations-rows", "prepend", row(3, "started since"));
  page.fragment("op-2-row", "outer", "");
  page.frame();
  answer(list([row(2, "removed since"), row(1, "as the page has it")]));
  await page.answered();
  page.frame();
  assert.equal(page.get("operations-rows").innerHTML, row(3, "started since") + row(1, "newer than the page"));
});

test("the tab says the percent, and how it ended", () => {
  const page = new Page(container(ONE, { percent: 28.999 }));
  const title = (state, percent) => {
    page.speak("state", { state });
    page.fragment(`${ONE}-status`, "outer", status(ONE, state));
    page.fragment(`${ONE}-progress`, "outer", progress(ONE, percent));
    page.frame();
    return page.document.title;
  };
  assert.equal(page.document.title, "28 % · Import");
  assert.equal(title("waiting"), "… Waiting · Import");
  assert.equal(title("running"), "Import");
  assert.equal(title("running", 0), "0 % · Import");
  assert.equal(title("running", 29), "29 % · Import", "not 28.999999");
  assert.equal(title("running", 99.9), "99 % · Import");
  assert.equal(title("running", 100), "100 % · Import");
  for (const state of ["cancelling", "succeeded", "failed", "cancelled", "interrupted"]) assert.equal(title(state, 40), `${BADGES[state]} · Import`);
  const crowd = new Page(container(ONE) + container(TWO));
  assert.equal(crowd.document.title, "The site", "which of them should it be");
});

test("milestones are said once: the start, a stage, each quarter, the end", () => {
  const page = new Page(container(ONE, { state: "waiting", percent: undefined }));
  const said = (...fragments) => {
    for (const [name, html] of fragments) {
      if (name === "state") page.speak("state", { state: html }), page.fragment(`${ONE}-status`, "outer", status(ONE, html));
      else page.fragment(`${ONE}-${name}`, "outer", html);
    }
    page.document.querySelector("body > [role=status]").textContent = "";
    page.settle();
    return page.heard()[0];
  };
  page.settle();
  assert.equal(page.heard()[0], "Import: Waiting");
  assert.equal(said(["state", "running"]), "Import: Running");
  assert.equal(said(["stages", stages(ONE, "Read", "Write")]), "Read");
  assert.equal(said(["stages", stages(ONE, "Read", "Write")], ["progress", progress(ONE, 10)]), "");
  assert.equal(said(["progress", progress(ONE, 25)]), "25 %");
  assert.equal(said(["progress", progress(ONE, 24)], ["progress", progress(ONE, 26)]), "");
  assert.equal(said(["progress", progress(ONE, 24)]), "");
  assert.equal(said(["progress", progress(ONE, 26)]), "", "once");
  assert.equal(said(["stages", stages(ONE, "Write")], ["progress", progress(ONE, 80)]), "Write. 75 %");
  assert.equal(said(["progress", progress(ONE, 100)]), "");
  assert.equal(said(["state", "succeeded"], ["result", `<div id="${ONE}-result"><h2 class="liveop-outcome-title">Done</h2></div>`]), "Import: Done");
  page.speak("end", { state: "succeeded" });
  assert.equal(said(), "");
  assert.equal(page.heard()[1], "", "nothing of it was an error");
});

for (const state of ["failed", "interrupted"]) {
  test(`what went wrong is said at once, and once (${state})`, () => {
    const page = new Page();
    page.settle();
    assert.deepEqual(page.heard(), ["Import: Running", ""]);
    page.speak("state", { state });
    page.fragment(`${ONE}-status`, "outer", status(ONE, state));
    page.fragment(`${ONE}-result`, "outer", `<div id="${ONE}-result"><h2 class="liveop-outcome-title">No such table</h2></div>`);
    page.speak("end", { state });
    let changes = 0;
    new page.window.MutationObserver(() => changes++).observe(page.document.querySelector("body > [role=alert]"), { childList: true });
    page.settle();
    page.settle();
    const word = BADGES[state].split(" ")[1];
    assert.deepEqual(page.heard(), ["Import: Running", `Import: ${word}. No such table`]);
    return page.answered().then(() => assert.equal(changes, 1));
  });

  test(`a page that is loaded after that says nothing (${state})`, () => {
    const page = new Page(container(ONE, { state, over: true }));
    page.settle();
    assert.deepEqual([page.heard(), page.streams.length], [["", ""], 0]);
    assert.equal(page.document.title, `${BADGES[state]} · Import`);
  });
}

test("a page without anything live gets nothing to listen to", () => {
  const page = new Page("<main>a form</main>");
  assert.equal(page.document.querySelectorAll("[role]").length, 0);
});

test("the end is told once; nothing that comes after it counts", () => {
  const page = new Page();
  const [stream] = page.streams;
  page.fragment(`${ONE}-status`, "outer", status(ONE, "succeeded"));
  page.speak("end", { state: "succeeded", url: "/operations/x", redirect: null }, "last");
  assert.equal(stream.readyState, 2, "the server's closing is no lost connection");
  page.speak("end", { state: "failed" }, "", stream);
  page.speak("state", { state: "running" }, "", stream);
  page.frame();
  const ends = page.events.filter(({ type }) => type === "liveop:end");
  assert.deepEqual(ends.map(({ target, state }) => [target, state]), [[ONE, "succeeded"]]);
  const { dataset } = page.get(ONE);
  assert.deepEqual([dataset.liveopState, dataset.liveopToken], ["succeeded", undefined]);
  page.turn(true);
  page.turn(false);
  assert.equal(page.streams.length, 1);
});

test("a chain goes on in its place, and its redirect is followed where it was seen to run", async () => {
  const page = new Page();
  const next = address(TWO);
  const title = page.document.querySelector("h1");
  title.tabIndex = -1;
  title.focus();
  page.answers[next] = `<meta name="liveops-csrf" content="d">${container(TWO)}`;
  page.speak("chain", { url: next });
  page.speak("end", { state: "succeeded", redirect: "/elsewhere" });
  page.frame();
  await page.answered();
  assert.equal(page.get(ONE), null);
  assert.equal(page.window.location.pathname, next);
  assert.equal(page.document.querySelector("meta").content, "d");
  assert.equal(page.document.activeElement, page.document.querySelector("h1"));
  assert.equal(page.streams.length, 2);
  page.speak("end", { state: "succeeded", redirect: `${next}#there` });
  page.frame();
  assert.equal(page.window.location.hash, "#there");
  page.settle();
  const late = new Page(container(ONE, { state: "succeeded", over: true, more: 'data-liveop-redirect="#there"' }));
  assert.equal(late.window.location.hash, "", "a page that did not see it run has a link");
});

test("a redirect leads to pages of the web only", () => {
  const leaves = (redirect) => {
    const page = new Page();
    page.speak("end", { state: "succeeded", redirect });
    page.frame();
    return page.leavings.length;
  };
  assert.equal(leaves("/elsewhere"), 1);
  assert.deepEqual(["data:text/html,x", "file:///etc/passwd"].map(leaves), [0, 0]);
});

test("a chain to another site is not followed", async () => {
  const page = new Page();
  page.speak("chain", { url: "https://elsewhere.example/operations/x" });
  page.speak("end", { state: "succeeded" });
  page.frame();
  await page.answered();
  assert.deepEqual(page.fetched, []);
});

for (const [what, text] of Object.entries({
  "has expired": token({ exp: Date.now() / 1000 - 1 }),
  "expires this moment": token({ exp: Date.now() / 1000 }),
  "has no expiry": token({}),
  "is no token": "nonsense",
  "is no JSON": `v1.${Buffer.from("{").toString("base64url")}.x`,
})) {
  test(`a token that ${what} opens no stream: the page is asked for another one`, () => {
    const page = new Page(container(ONE).replace(/data-liveop-token="[^"]*"/, `data-liveop-token="${text}"`));
    assert.deepEqual([page.streams.length, page.fetched], [0, [address()]]);
  });
}
