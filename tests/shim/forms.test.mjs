// What the shim does to forms: the token that belongs into them, and the one that it sends itself.
import assert from "node:assert/strict";
import { test } from "node:test";
import { GONE, PAGE, World, live, operation } from "./world.mjs";

/** A form; the answer of `sent` is the token in it after its button was pressed. */
function form({ action = "/here", method = "post", button = "", value = "" } = {}) {
  return `<form action="${action}" method="${method}"><input name="csrf_token" value="${value}"><button ${button}>Go</button></form>`;
}

function sent(options) {
  const world = new World(operation() + form(options));
  world.document.querySelector("form button").click();
  return world.document.querySelector("form input").value;
}

test("a form that is sent to this site gets the page's token", () => {
  assert.equal(sent(), "csrf");
  assert.equal(sent({ action: "" }), "csrf");
  assert.equal(sent({ action: "https://host.example/here" }), "csrf");
  assert.equal(sent({ action: "https://elsewhere.example/", button: 'formaction="/here"' }), "csrf");
  assert.equal(sent({ value: "its own" }), "its own");
});

test("a form that is sent to another site does not, nor does an address", () => {
  for (const action of ["https://elsewhere.example/", "http://host.example/", "//elsewhere.example/here"]) {
    assert.equal(sent({ action }), "", action);
    assert.equal(sent({ button: `formaction="${action}"` }), "", `formaction ${action}`);
  }
  assert.equal(sent({ method: "get" }), "");
});

const CANCEL = `<form method="post" action="${PAGE}/cancel" data-liveop-command="cancel"><input type="hidden" name="csrf_token" value=""><button>Cancel</button></form>`;
const PAGES_OWN = { status: 200, body: operation({ inside: CANCEL }) };

/** A live page with a cancel button, and the requests that pressing it made. */
async function cancellable(answer) {
  const world = await live(operation({ inside: CANCEL }));
  world.answer = (_, { method } = {}) => (method === "POST" ? answer : PAGES_OWN);
  const button = world.document.querySelector("form button");
  const requests = () => world.fetches.filter(({ method }) => method === "POST");
  const press = async () => {
    button.click();
    await world.pass(200);
  };
  return { world, button, requests, press, said: () => [button.textContent, button.getAttribute("aria-disabled")] };
}

for (const status of [200, 204]) {
  test(`Cancel is sent by itself, once, and says so at once (${status})`, async () => {
    const page = await cancellable({ status });
    page.button.click();
    assert.deepEqual(page.said(), ["Cancelling…", "true"], "before there is an answer");
    await page.press();
    await page.press();
    assert.deepEqual(page.said(), ["Cancelling…", "true"]);
    assert.equal(page.requests().length, 1, "what is pressed again sends nothing");
    const [{ url, headers, redirect, body }] = page.requests();
    assert.deepEqual([new URL(url).pathname, headers["X-Liveops"], redirect, String(body)], [`${PAGE}/cancel`, "1", "manual", "csrf_token=csrf"]);
    assert.deepEqual([page.world.leavings, page.world.heard()[1]], [[], ""]);
  });
}

test("a Cancel that does not reach the server says so at once, and can be pressed again", async () => {
  const page = await cancellable(GONE);
  await page.press();
  assert.equal(page.world.line, "lost: Not cancelled: the server can’t be reached.");
  assert.equal(page.world.heard()[1], "Not cancelled: the server can’t be reached.", "an alert");
  assert.deepEqual(page.said(), ["Cancel", null]);
  await page.press();
  assert.equal(page.requests().length, 2);
});

test("a Cancel that is refused is sent as a form, whose answer says why", async () => {
  const page = await cancellable({ status: 403 });
  await page.press();
  assert.equal(page.world.leavings.length, 1);
  assert.deepEqual(page.said(), ["Cancel", null]);
});
