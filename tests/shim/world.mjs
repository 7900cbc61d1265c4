// A page on a clock that the test turns, and a server that answers as the test says.
import { BADGES, ONE, Page, address, list as rows, token as signed } from "./page.mjs";

export const ID = ONE;
export const PAGE = address();
export const BEGIN = 1_800_000_000_000;
export const LIVE = "live: Live";
export const LOST = "lost: Connection lost, trying again…";
export const FETCHED = "fetched: No live updates just now: fetched every few seconds.";
export const GONE = { status: 0 };

/** A token that expires so many seconds after the beginning. */
export function token(name, seconds = 300) {
  return signed({ u: name, exp: BEGIN / 1000 + seconds });
}

/** An operation's page. */
export function operation({ id = ID, state = "running", token: text = token("first"), percent = 10, csrf = "csrf", more = "", inside = "" } = {}) {
  return `<!doctype html><meta name="liveops-csrf" content="${csrf}"><title>Import</title>
    <section id="${id}" class="liveop" data-liveop-channel="liveop.x" data-liveop-stream="/stream" data-liveop-state="${state}"
      ${text && `data-liveop-token="${text}"`} data-liveop-page="${address(id)}" ${more}>
    <div id="${id}-status"><span class="liveop-badge">${BADGES[state]}</span></div><h1 class="liveop-title">Import</h1><div id="${id}-progress"><progress value="${percent}" max="100"></progress></div>
    ${inside}<div class="liveop-connection" hidden></div></section>`;
}

/** The page of a list. */
export function list(options) {
  return `<!doctype html><title>Operations</title>${rows([], { token: token("first"), ...options })}`;
}

/** A page that the shim keeps live, and the world around it. */
export class World extends Page {
  constructor(html = operation(), { random = 0.5, browser = new Set(), protocol = "http/1.1", ...options } = {}) {
    const channel = class {
      constructor() {
        browser.add(this);
      }
      close() {
        browser.delete(this);
      }
      postMessage(data) {
        for (const other of browser) if (other !== this) other.onmessage({ data });
      }
    };
    super(html, { protocol, channel, ...options });
    Object.assign(this, { now: BEGIN, browser, timers: new Map(), fetches: [], answer: () => ({ status: 200, body: html }) });
    let last = 0;
    const timer = (action, delay = 0) => (this.timers.set(++last, { action, at: this.now + delay }), last);
    const clear = (id) => this.timers.delete(id);
    this.window.Date.now = () => this.now;
    this.window.Math.random = () => random ?? Math.random();
    this.announced = []; // of the connection
    this.run({
      setTimeout: timer, clearTimeout: clear, requestAnimationFrame: (action) => timer(action, 16), cancelAnimationFrame: clear,
      fetch: (url, options) => this.fetch(url, options),
    });
  }

  async fetch(url, options) {
    const answer = this.answer(String(url), options);
    this.fetches.push({ url: String(url), at: this.now, ...options });
    if (answer.late) await answer.late;
    if (!answer.status) throw new TypeError("Failed to fetch");
    return { status: answer.status, ok: answer.status < 300, type: answer.type ?? "basic", text: async () => answer.body ?? "" };
  }

  /** Lets so many milliseconds go by. */
  async pass(delay) {
    const end = this.now + delay;
    for (;;) {
      for (let i = 0; i < 3; i++) await new Promise(setImmediate);
      const [id, next] = [...this.timers].sort(([, a], [, b]) => a.at - b.at)[0] ?? [];
      if (!next || next.at > end) break;
      this.timers.delete(id);
      this.now = next.at;
      next.action();
      for (const element of this.document.querySelectorAll("body > [role]")) {
        const said = element.textContent;
        if (said && !said.startsWith("Import: ") && said !== this.announced.at(-1)) this.announced.push(said);
      }
    }
    this.now = end;
  }

  get isOpen() {
    return this.streams.filter(({ readyState }) => readyState < 2).length;
  }

  get ends() {
    return this.events.filter(({ type }) => type === "liveop:end").length;
  }

  get line() {
    const line = this.document.querySelector(".liveop-connection");
    return line.hidden ? "" : `${line.dataset.kind}: ${line.textContent}`;
  }

  /** The stream says something, and it is painted. */
  async say(name, data = {}, id = "") {
    this.speak(name, data, id);
    await this.pass(20);
  }

  /** The stream ends with an error, for good where the answer was none. */
  fail({ refused = false } = {}) {
    this.stream.readyState = refused ? 2 : 0;
    this.stream.onerror(new this.window.Event("error"));
  }

  async show(hidden) {
    this.turn(hidden);
    await this.pass(0);
  }

  async event(name, persisted) {
    const event = persisted === undefined ? new this.window.Event(name) : new this.window.PageTransitionEvent(name, { persisted });
    this.window.dispatchEvent(event);
    await this.pass(0);
  }
}

/** A page whose stream has said something. */
export async function live(html, options) {
  const world = new World(html, options);
  await world.say("ping", {}, "cursor-1");
  await world.pass(200);
  return world;
}
