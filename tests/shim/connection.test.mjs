// The life of the shim's connection, on a clock that the test turns: a page in jsdom, streams and answers that the test makes.
import assert from "node:assert/strict";
import { test } from "node:test";
import { BEGIN, FETCHED, GONE, ID, LIVE, LOST, PAGE, World, list, live, operation, token } from "./world.mjs";

test("a stream is opened with the page's token, and the first thing that it says makes the page live", async () => {
  const world = new World();
  assert.equal(world.line, "");
  const query = Object.fromEntries(world.stream.url.searchParams);
  assert.deepEqual(query, { token: token("first"), channel: "liveop.x", last_event_id: "" });
  await world.say("state", { state: "running" }, "c");
  assert.equal(world.line, LIVE);
  await world.pass(1000);
  assert.deepEqual([world.streams.length, world.fetches.length, world.announced.length], [1, 0, 0]);
});

for (const random of [0, 0.999]) {
  test(`a stream that broke is opened again at its cursor, after a moment that differs (${random})`, async () => {
    const world = await live(undefined, { random });
    const broke = world.now;
    world.fail();
    await world.pass(1000);
    assert.equal(world.streams.length, 2);
    const waited = world.stream.at - broke;
    assert.ok(random ? waited > 950 && waited <= 1000 : waited === 500, `${waited} ms`);
    assert.equal(world.stream.url.searchParams.get("last_event_id"), "cursor-1");
    assert.equal(world.line, LIVE, "a short break is nothing to speak of");
    await world.say("ping");
    await world.pass(10_000);
    assert.deepEqual([world.line, world.fetches.length, world.announced.length], [LIVE, 0, 0]);
  });
}

test("after that the page is fetched, and its token and its forms' token are gone on with", async () => {
  const world = await live();
  world.answer = () => ({ status: 200, body: operation({ token: token("second"), csrf: "another", percent: 40 }) });
  world.fail();
  await world.pass(1000);
  world.fail();
  await world.pass(0);
  const [page] = world.fetches;
  assert.equal(new URL(page.url, "https://host.example").pathname, PAGE);
  assert.deepEqual([page.headers["X-Liveops"], page.redirect, page.cache], ["1", "manual", "no-store"]);
  assert.equal(page.signal, "at most 15000 ms");
  assert.equal(world.streams.length, 3);
  assert.equal(world.stream.url.searchParams.get("token"), token("second"));
  assert.equal(world.stream.url.searchParams.get("last_event_id"), "cursor-1");
  assert.equal(world.document.querySelector("meta").content, "another");
  assert.equal(world.document.querySelector("progress").value, 40);
});

test("a token that has expired is not used: the page comes first", async () => {
  const world = await live();
  await world.pass(30_000);
  for (let i = 0; i < 30; i++) {
    await world.say("ping");
    await world.pass(10_000);
  }
  world.answer = () => ({ status: 200, body: operation({ token: token("second", 900) }) });
  world.fail();
  await world.pass(1000);
  assert.equal(world.fetches.length, 1);
  assert.equal(world.stream.url.searchParams.get("token"), token("second", 900));
});

test("a server that is away is asked less and less often, and its absence is said after three seconds", async () => {
  const world = await live(undefined, { random: 0.999 });
  const broke = world.now;
  world.answer = () => GONE;
  world.fail();
  await world.pass(1000);
  world.fail();
  await world.pass(broke + 2999 - world.now);
  assert.equal(world.line, LIVE);
  await world.pass(1);
  assert.equal(world.line, LOST);
  await world.pass(120_000);
  const times = world.fetches.map(({ at }) => at);
  const waits = times.slice(1).map((at, i) => at - times[i]);
  assert.ok(waits.every((wait, i) => i === 0 || wait >= waits[i - 1]), `${waits}`);
  assert.ok(waits[0] <= 1000 && waits.at(-1) > 14_000 && waits.at(-1) <= 15_000, `${waits}`);
  assert.deepEqual(world.announced, ["Connection lost, trying again…"], "once");
  world.answer = () => ({ status: 200, body: operation() });
  await world.pass(15_000);
  assert.equal(world.line, LOST, "until the stream says something");
  await world.say("ping");
  await world.pass(200);
  assert.equal(world.line, LIVE);
  assert.deepEqual(world.announced.slice(1), ["Live again."]);
});

test("a stream without pings is dead, one with them is not", async () => {
  const world = await live();
  for (let i = 0; i < 10; i++) {
    await world.pass(15_000);
    await world.say("ping");
  }
  assert.equal(world.streams.length, 1);
  await world.pass(39_900);
  assert.equal(world.isOpen, 1);
  await world.pass(1200);
  assert.equal(world.streams.length, 2);
  assert.equal(world.isOpen, 1, "the dead one is closed");
  assert.equal(world.line, LIVE);
  await world.pass(3000);
  assert.equal(world.line, LOST);
});

test("where a proxy holds streams back, the page is fetched instead", async () => {
  const world = new World();
  let percent = 10;
  world.answer = () => ({ status: 200, body: operation({ percent: percent++ }) });
  await world.pass(10_000);
  assert.equal(world.fetches.length, 1, "the page, after ten seconds of silence");
  await world.pass(10_000);
  assert.equal(world.line, FETCHED);
  const before = world.fetches.length;
  await world.pass(20_000);
  assert.equal(world.fetches.length, before + 4);
  assert.equal(world.document.querySelector("progress").value, percent - 1);
  assert.equal(world.isOpen, 0);
  // Streams are tried now and then, and nothing is said to be lost meanwhile.
  await world.pass(25_000);
  assert.equal(world.isOpen, 1);
  await world.pass(15_000);
  assert.equal(world.line, FETCHED);
  assert.equal(world.isOpen, 0);
  assert.deepEqual(world.announced, [LOST.slice("lost: ".length), FETCHED.slice("fetched: ".length)], "each once");
  while (!world.isOpen) await world.pass(1000);
  await world.say("ping");
  assert.equal(world.line, LIVE);
  const all = world.fetches.length;
  await world.pass(30_000);
  assert.equal(world.fetches.length, all, "the stream is enough");
});

test("where streams are refused and the page is not, nothing is said to be lost", async () => {
  const world = new World();
  const lines = new Set();
  for (let i = 0; i < 100; i++) {
    if (world.stream.readyState === 0) world.fail({ refused: true });
    await world.pass(100);
    lines.add(world.line);
  }
  assert.deepEqual([...lines], ["", FETCHED]);
  assert.ok(world.streams.length <= 3, `${world.streams.length} streams in ten seconds`);
  assert.ok(world.fetches.length <= 5, `${world.fetches.length} pages in ten seconds`);
  world.answer = () => GONE;
  const before = world.fetches.length;
  while (world.fetches.length === before) await world.pass(100);
  assert.equal(world.line, FETCHED);
  await world.pass(3000);
  assert.equal(world.line, LOST, "now it is");
});

test("a hidden page has no stream; the page is fetched every 15 s, and the title stays true", async () => {
  const world = await live();
  await world.show(true);
  assert.equal(world.isOpen, 0);
  world.answer = () => ({ status: 200, body: operation({ percent: 70, token: token("second") }) });
  await world.pass(60_000);
  assert.equal(world.fetches.length, 4);
  assert.match(world.document.title, /^70 %/);
  assert.equal(world.streams.length, 1);
  await world.show(false);
  assert.equal(world.streams.length, 2, "at once");
  assert.equal(world.stream.url.searchParams.get("token"), token("second"));
  assert.equal(world.stream.url.searchParams.get("last_event_id"), "cursor-1");
  await world.pass(5000);
  assert.equal(world.fetches.length, 4);
});

test("what ended while nobody looked says so in the title, once, and asks no more", async () => {
  const world = await live();
  await world.show(true);
  world.answer = () => ({ status: 200, body: operation({ state: "succeeded", token: "", percent: 100 }) });
  await world.pass(60_000);
  assert.match(world.document.title, /^✓ Done/);
  assert.deepEqual([world.fetches.length, world.ends], [1, 1]);
  await world.show(false);
  await world.pass(60_000);
  assert.deepEqual([world.fetches.length, world.streams.length, world.ends], [1, 1, 1]);
});

test("a hidden page bears with a server that is away", async () => {
  const world = await live();
  await world.show(true);
  world.answer = () => GONE;
  await world.pass(60_000);
  assert.equal(world.fetches.length, 4);
  assert.deepEqual(world.announced, []);
  await world.show(false);
  world.fail();
  await world.pass(3000);
  assert.equal(world.line, LOST);
});

test("an answer that comes after the page was shown again counts for nothing", async () => {
  const world = await live();
  await world.show(true);
  let release;
  const late = new Promise((resolve) => { release = resolve; });
  world.answer = () => ({ status: 200, body: operation({ percent: 20 }), late });
  await world.pass(15_000);
  assert.equal(world.fetches.length, 1);
  await world.show(false);
  const html = `<div id="${ID}-progress"><progress value="90" max="100"></progress></div>`;
  await world.say("fragment", { id: `${ID}-progress`, swap: "outer", html });
  release();
  await world.pass(100);
  assert.equal(world.document.querySelector("progress").value, 90);
});

test("a hidden list asks nothing, and catches up when it is shown", async () => {
  const world = await live(list());
  world.answer = () => ({ status: 200, body: list() });
  await world.show(true);
  await world.pass(120_000);
  assert.deepEqual([world.isOpen, world.fetches.length], [0, 0]);
  await world.show(false);
  assert.equal(world.isOpen, 1);
  world.stream.onopen(new world.window.Event("open"));
  await world.pass(0);
  assert.equal(world.fetches.length, 1, "the page, for what the stream does not tell");
});

test("a page that is put away has no stream, and has one again when it is back", async () => {
  const world = await live();
  await world.event("pagehide", true);
  assert.equal(world.isOpen, 0);
  await world.pass(60_000);
  assert.deepEqual([world.isOpen, world.fetches.length], [0, 0]);
  await world.event("pageshow", true);
  assert.equal(world.isOpen, 1);
  assert.equal(world.stream.url.searchParams.get("last_event_id"), "cursor-1");
  // As it is in browsers that tell both.
  await world.show(true);
  await world.event("pagehide", true);
  await world.show(false);
  await world.event("pageshow", true);
  assert.deepEqual([world.streams.length, world.isOpen], [3, 1]);
});

test("offline is said at once, and online goes on at once", async () => {
  const world = await live();
  world.answer = () => GONE;
  await world.event("offline");
  assert.equal(world.line, LOST);
  assert.equal(world.isOpen, 0);
  for (let i = 0; i < 100; i++) {
    if (world.isOpen) world.fail();
    await world.pass(1000);
  }
  const before = world.streams.length;
  await world.event("online");
  assert.equal(world.streams.length, before + 1);
  await world.say("ping");
  await world.pass(200);
  assert.equal(world.line, LIVE);
  assert.deepEqual(world.announced, ["Connection lost, trying again…", "Live again."]);
});

test("who is signed out gets a link, and no request is made until they look again", async () => {
  const world = await live();
  world.answer = () => ({ status: 401 });
  world.fail();
  await world.pass(1000);
  world.fail({ refused: true });
  await world.pass(0);
  assert.equal(world.line, "lost: You are signed out. Sign in and come back");
  assert.equal(world.document.querySelector(".liveop-connection a").getAttribute("href"), PAGE);
  const asked = world.fetches.length;
  await world.pass(100_000);
  assert.deepEqual([world.fetches.length, world.isOpen], [asked, 0]);
  assert.equal(world.heard()[1], "You are signed out.", "an alert");
  assert.deepEqual(world.announced.length, 1);
  // They sign in with another window: the forms need that session's token.
  world.answer = () => ({ status: 200, body: operation({ token: token("second", 900), csrf: "another" }) });
  await world.show(true);
  await world.show(false);
  assert.equal(world.document.querySelector("meta").content, "another");
  assert.equal(world.stream.url.searchParams.get("token"), token("second", 900));
  await world.say("ping");
  assert.equal(world.line, LIVE);
});

for (const status of [403, 404, 410]) {
  test(`what is gone is not asked for again (${status})`, async () => {
    const world = await live();
    world.answer = () => ({ status });
    world.fail({ refused: true });
    await world.pass(60_000);
    assert.equal(world.line, "lost: This can’t be shown any more. Reload the page");
    assert.deepEqual([world.fetches.length, world.isOpen], [1, 0]);
    assert.equal(world.heard()[1], "This can’t be shown any more.", "an alert");
  });
}

test("a page that leads elsewhere means signed out", async () => {
  const world = await live();
  world.answer = () => ({ status: 302, type: "opaqueredirect" });
  world.fail({ refused: true });
  await world.pass(60_000);
  assert.equal(world.line, "lost: You are signed out. Sign in and come back");
  assert.equal(world.fetches.length, 1);
});

test("a state that a fetched page brings is told like one that the stream brings", async () => {
  const world = await live();
  const told = () => world.events.splice(0).map(({ type, ...detail }) => [type, detail]);
  await world.say("state", { state: "running" });
  const of = { operation: ID.slice(3), target: ID };
  assert.deepEqual(told(), [["liveop:state", { ...of, state: "running" }]]);
  world.answer = () => ({ status: 200, body: operation({ state: "cancelling", token: token("second") }) });
  world.fail({ refused: true });
  await world.pass(1000);
  assert.deepEqual(told(), [["liveop:state", { ...of, state: "cancelling" }]]);
  world.answer = () => ({ status: 200, body: operation({ state: "cancelled", token: "" }) });
  world.fail({ refused: true });
  await world.pass(5000);
  const end = { ...of, state: "cancelled", url: PAGE, redirect: null };
  assert.deepEqual(told(), [["liveop:state", { ...of, state: "cancelled" }], ["liveop:end", end]]);
});

for (const [more, pages] of [["", 0], ["data-liveop-known-only", 1]]) {
  test(`a list fetches its page as soon as its stream is open where that brings a part only (${more})`, async () => {
    const world = new World(list({ more }));
    assert.equal(world.fetches.length, 0);
    world.stream.onopen?.(new world.window.Event("open"));
    await world.say("ping");
    assert.equal(world.fetches.length, pages);
  });
}

test("an operation whose end was missed is ended by its page", async () => {
  const world = await live();
  world.answer = () => ({ status: 200, body: operation({ state: "failed", token: "", percent: 30 }) });
  world.fail({ refused: true });
  await world.pass(5000);
  assert.equal(world.line, "");
  assert.match(world.document.title, /^✕ Failed/);
  assert.deepEqual([world.ends, world.isOpen, world.fetches.length], [1, 0, 1]);
});

/** So many windows of one browser, each opened after the one before it and none hidden; streams answer at once. */
async function windows(count, options) {
  const browser = new Set();
  const all = [];
  for (let i = 0; i < count; i++) {
    const world = new World(operation(), { browser, random: null, focused: false, ...options });
    await world.say("ping");
    all.push(world);
  }
  return all;
}

test("ten windows leave room for pages: the newest streams stay, and the others fetch", async () => {
  const all = await windows(10);
  for (const world of all) await world.pass(1000);
  const open = all.map((world) => world.isOpen);
  assert.deepEqual(open, [0, 0, 0, 0, 0, 0, 0, 1, 1, 1]);
  for (const [i, world] of all.entries()) assert.equal(world.line, i < 7 ? FETCHED : LIVE);
  const [first] = all;
  first.answer = () => ({ status: 200, body: operation({ percent: 80 }) });
  await first.pass(5000);
  assert.equal(first.document.querySelector("progress").value, 80);
  // Whichever is looked at is live at once.
  first.focused = true;
  await first.event("focus");
  assert.equal(first.isOpen, 1);
  await first.say("ping");
  assert.equal(first.line, LIVE);
  await all[7].pass(0);
  assert.deepEqual(all.map((world) => world.isOpen), [1, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
});

test("streams that were closed count for nothing", async () => {
  const all = await windows(2);
  for (let i = 0; i < 10; i++) {
    await all[1].show(true);
    await all[1].show(false);
  }
  assert.deepEqual(all.map((world) => world.isOpen), [1, 1]);
  assert.equal(all[0].streams.length, 1);
});

test("a window that gave its place up tries again later", async () => {
  const all = await windows(4);
  assert.equal(all[0].isOpen, 0);
  for (const world of all.slice(1)) await world.event("pagehide", false);
  while (!all[0].isOpen && all[0].now < BEGIN + 60_000) await all[0].pass(1000);
  await all[0].say("ping");
  assert.deepEqual([all[0].isOpen, all[0].line], [1, LIVE]);
});

test("the window in front keeps its place a little longer, for it may have several streams", async () => {
  const all = await windows(5, { focused: true });
  assert.deepEqual(all.map((world) => world.isOpen), [1, 1, 1, 1, 1]);
  const more = await windows(6, { focused: true });
  assert.deepEqual(more.map((world) => world.isOpen), [0, 1, 1, 1, 1, 1]);
});

test("where one connection carries all streams, nobody gives way", async () => {
  const all = await windows(10, { protocol: "h2" });
  assert.deepEqual(all.map((world) => world.isOpen), Array(10).fill(1));
});

test("a window that is looked at goes on at once where its stream had failed", async () => {
  const world = await live();
  world.answer = () => GONE;
  world.fail({ refused: true });
  await world.pass(60_000);
  assert.deepEqual([world.line, world.isOpen], [LOST, 0]);
  await world.event("focus");
  assert.equal(world.isOpen, 1);
  await world.say("ping");
  await world.event("focus");
  assert.equal(world.streams.length, 2, "a stream that works is left alone");
});

/** A page for which streams do not come through. */
async function fetched() {
  const world = new World();
  while (world.line !== FETCHED) {
    if (world.isOpen) world.fail({ refused: true });
    await world.pass(100);
  }
  return world;
}

test("where streams do not come through, a page that is shown again is fetched at once", async () => {
  const world = await fetched();
  await world.show(true);
  world.answer = () => ({ status: 200, body: operation({ percent: 60 }) });
  await world.show(false);
  await world.pass(0);
  assert.equal(world.document.querySelector("progress").value, 60);
  assert.equal(world.isOpen, 1, "and the stream has another chance");
});

test("after an outage streams have another chance at once, and the next outage is met afresh", async () => {
  const world = await fetched();
  for (let outage = 0; outage < 2; outage++) {
    world.answer = () => GONE;
    while (world.line !== LOST) await world.pass(100);
    await world.pass(outage ? 0 : 60_000);
    world.answer = () => ({ status: 200, body: operation() });
    const back = world.now;
    while (!world.isOpen) await world.pass(100);
    assert.ok(world.now - back <= (outage ? 5000 : 15_000), `${world.now - back} ms`);
    world.fail({ refused: true });
    await world.pass(100);
    assert.equal(world.line, FETCHED);
  }
});

test("a stream that was opened anew is the newest", async () => {
  const all = await windows(3);
  await all[0].show(true);
  await all[0].show(false);
  await all[0].say("ping");
  const [fourth] = await windows(1, { browser: all[0].browser });
  assert.deepEqual([...all, fourth].map((world) => world.isOpen), [1, 0, 1, 1]);
});
