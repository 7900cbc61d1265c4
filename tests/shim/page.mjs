// What the tests of the shim share: a page in jsdom, and streams and a network that the test speaks for.
import { readFileSync } from "node:fs";
import { JSDOM, VirtualConsole } from "jsdom";

const SHIM = readFileSync(new URL("../../assets/liveops.js", import.meta.url), "utf8");
export const ONE = "op-67e55044-10b1-426f-9247-bb680e5fe0c8";
export const TWO = "op-00000000-0000-4000-8000-000000000002";
export const BADGES = {
  waiting: "… Waiting", running: "● Running", cancelling: "◌ Cancelling", succeeded: "✓ Done", failed: "✕ Failed",
  cancelled: "■ Cancelled", interrupted: "↯ Interrupted",
};

/** The address of an operation's page. */
export function address(id = ONE) {
  return `/operations/${id.slice(3)}`;
}

/** A token that says this. */
export function token(payload = { exp: 9e9 }) {
  return `v1.${Buffer.from(JSON.stringify(payload)).toString("base64url")}.x`;
}

/** The part of a list's page that is live. */
export function list(rows = [], { token: text = token(), more = "" } = {}) {
  return `<section id="operations" data-liveop-channel="liveops.user.u" data-liveop-stream="/stream" data-liveop-token="${text}"
    data-liveop-page="/operations"><table><tbody id="operations-rows" ${more}>${rows.join("")}</tbody></table>
    <div class="liveop-connection" hidden></div></section>`;
}

export function row(n, text) {
  return `<tr id="op-${n}-row"><td>${text}</td></tr>`;
}

/** A page, the streams that it opened, and the events on it; the shim comes once `run` is called. */
export class Page {
  constructor(html, { path = address(), hidden = false, focused = true, protocol = "h2", channel = class { postMessage() {} close() {} } } = {}) {
    const virtualConsole = new VirtualConsole();
    this.leavings = []; // jsdom says each time that it can't go elsewhere, or send a form
    virtualConsole.on("jsdomError", ({ message }) => /navigation|submit/.test(message) && this.leavings.push(message));
    const { window } = new JSDOM(html, { url: `https://host.example${path}`, runScripts: "outside-only", virtualConsole });
    Object.assign(this, { window, document: window.document, streams: [], events: [], hidden, focused });
    const page = this;
    Object.defineProperty(this.document, "hidden", { get: () => this.hidden });
    this.document.hasFocus = () => this.focused;
    window.performance.getEntriesByType = () => [{ nextHopProtocol: protocol }];
    window.AbortSignal.timeout = (delay) => `at most ${delay} ms`;
    window.BroadcastChannel = channel;
    window.EventSource = class extends window.EventTarget {
      static CLOSED = 2;
      readyState = 0;
      constructor(url) {
        super();
        this.url = new URL(url, window.location);
        this.at = page.now;
        page.streams.push(this);
      }
      close() {
        this.readyState = 2;
      }
    };
    for (const name of ["liveop:fragment", "liveop:state", "liveop:end"]) {
      this.document.addEventListener(name, ({ type, detail, target }) => this.events.push({ type, target: target.id, ...detail }));
    }
  }

  /** Brings the shim into the page, and what stands in for the browser's clock and network. */
  run(fakes) {
    Object.assign(this.window, fakes);
    this.window.eval(SHIM);
  }

  get stream() {
    return this.streams.at(-1);
  }

  get(id) {
    return this.document.getElementById(id);
  }

  /** A stream says something, unless it is closed. */
  speak(name, data, id = "", stream = this.stream) {
    if (stream.readyState === 2) return;
    stream.readyState = 1;
    stream.dispatchEvent(new this.window.MessageEvent(name, { data: JSON.stringify(data), lastEventId: id }));
  }

  /** Hides the page, or shows it. */
  turn(hidden) {
    this.hidden = hidden;
    this.document.dispatchEvent(new this.window.Event("visibilitychange"));
  }

  /** What a screen reader was given, politely and at once. */
  heard() {
    return ["status", "alert"].map((role) => this.document.querySelector(`body > [role=${role}]`).textContent);
  }
}
