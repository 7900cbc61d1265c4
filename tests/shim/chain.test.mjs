// How a page goes on from an operation to the next one.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ONE, TWO, address } from "./page.mjs";
import { GONE, LIVE, LOST, PAGE, live, operation, token } from "./world.mjs";

const NEXT = address(TWO);
const THREE = "op-00000000-0000-4000-8000-000000000003";

/** What the next one's page answers. */
function next(options) {
  return { status: 200, body: operation({ id: TWO, csrf: "another", token: token("second"), ...options }) };
}

/** A page that was just told that its operation handed over. */
async function handed(answer, options) {
  const world = await live(undefined, options);
  world.answer = typeof answer === "function" ? answer : () => answer;
  await world.say("chain", { url: NEXT });
  await world.say("end", { state: "succeeded" }, "last");
  return world;
}

test("the next operation takes the place of the one before", async () => {
  const world = await handed(next());
  assert.deepEqual([!!world.get(ONE), !!world.get(TWO), world.window.location.pathname], [false, true, NEXT]);
  assert.equal(world.document.querySelector("meta").content, "another");
  assert.deepEqual([world.streams.length, world.stream.url.searchParams.get("token")], [2, token("second")]);
  await world.say("ping");
  assert.equal(world.line, LIVE);
});

for (const answer of [GONE, { status: 503 }, { status: 404 }]) {
  test(`a next one that can't be had yet is asked for again, less and less often (${answer.status})`, async () => {
    const world = await handed(answer);
    const tries = () => world.fetches.filter(({ url }) => url.endsWith(NEXT)).map(({ at }) => at);
    await world.pass(10_000);
    assert.ok(tries().length > 2, `${tries()}`);
    const waits = tries().slice(1).map((at, i) => at - tries()[i]);
    assert.ok(waits.every((wait, i) => i === 0 || wait > waits[i - 1]), `${waits}`);
    assert.equal(world.get(ONE).dataset.liveopNext, NEXT, "where it leads is known meanwhile");
    world.answer = () => next();
    await world.pass(15_000);
    assert.ok(world.get(TWO));
    assert.equal(world.isOpen, 1);
  });
}

test("a next one that is not there is not asked for without end; a server that is away is, and that is said", async () => {
  let world = await handed({ status: 404 });
  await world.pass(600_000);
  assert.equal(world.fetches.length, 6);
  assert.ok(world.get(ONE), "its page stays, with the link that it has");
  world = await handed(GONE);
  await world.pass(600_000);
  const [last, before] = world.fetches.map(({ at }) => at).reverse();
  assert.ok(last - before <= 15_000 && world.now - last <= 15_000, "at least every 15 s");
  assert.equal(world.line, LOST);
  world.answer = () => next();
  await world.pass(15_000);
  assert.ok(world.get(TWO));
});

test("who is signed out on the way gets a link", async () => {
  for (const answer of [{ status: 401 }, { status: 302, type: "opaqueredirect" }]) {
    const world = await handed(GONE);
    world.answer = () => answer;
    await world.pass(15_000);
    assert.equal(world.line, "lost: You are signed out. Sign in and come back");
    assert.equal(world.heard()[1], "You are signed out.", "an alert");
    const asked = world.fetches.length;
    await world.pass(60_000);
    assert.equal(world.fetches.length, asked);
  }
});

test("a next one that is over already is shown, and where it leads is gone to", async () => {
  const world = await handed(next({ state: "succeeded", token: "", more: 'data-liveop-redirect="#there"' }));
  assert.ok(world.get(TWO));
  assert.equal(world.window.location.hash, "#there");
  assert.match(world.document.title, /^✓ Done/);
  await world.pass(60_000);
  assert.deepEqual([world.streams.length, world.isOpen, world.fetches.length], [1, 0, 1]);
});

test("one that is over and handed over itself is gone past", async () => {
  const pages = {
    [NEXT]: operation({ id: TWO, state: "succeeded", token: "", more: `data-liveop-next="${address(THREE)}"` }),
    [address(THREE)]: operation({ id: THREE }),
  };
  const world = await handed((url) => ({ status: 200, body: pages[new URL(url).pathname] }));
  await world.pass(100);
  assert.deepEqual([ONE, TWO, THREE].map((id) => !!world.get(id)), [false, false, true]);
  assert.equal(world.isOpen, 1);
});

test("an address that is not the operation's own stays", async () => {
  const own = await handed(next());
  assert.equal(own.window.location.pathname, NEXT);
  assert.equal(own.window.history.length, 1, "and going back does not lead through all of a chain");
  const elsewhere = await handed(next(), { path: "/dashboard" });
  assert.ok(elsewhere.get(TWO));
  assert.equal(elsewhere.window.location.pathname, "/dashboard");
});

test("a page without the next one's container changes nothing", async () => {
  const world = await handed({ status: 200, body: operation() });
  assert.deepEqual([!!world.get(ONE), world.window.location.pathname], [true, PAGE]);
});
