// @ts-check
/* liveops: keeps the live containers of a page live (docs: protocol). */
(() => {
  "use strict";

  const DEAD_AFTER = 40_000; // the server pings at least every 15 s
  const FIRST_BYTES = 10_000; // a stream that says nothing at all by then was swallowed on its way
  const SAY_LOST_AFTER = 3_000;
  const POLL = 5_000;
  const POLL_HIDDEN = 15_000;
  const MAX_DELAY = 15_000;
  const FINAL = ["succeeded", "failed", "cancelled", "interrupted"];
  /** @type {Record<string, string>} */
  const SIGNS = {
    waiting: "… Waiting", cancelling: "◌ Cancelling", succeeded: "✓ Done", failed: "✕ Failed",
    cancelled: "■ Cancelled", interrupted: "↯ Interrupted",
  };

  /** @typedef {{id: string, swap: string, html: string}} Envelope */

  /** @type {Map<Element, Live>} every container that this page follows */
  const lives = new Map();
  const restingTitle = document.title;

  /** Starts every container, and listens to what concerns them all. */
  function start() {
    announcer();
    localize(document);
    for (const root of document.querySelectorAll("[data-liveop-channel]")) adopt(/** @type {HTMLElement} */ (root), false);
    each((live) => live.begin());
    document.addEventListener("submit", onSubmit);
    document.addEventListener("click", onClick, true);
    document.addEventListener("visibilitychange", () => each((live) => live.resume()));
    addEventListener("pagehide", () => each((live) => live.rest()));
    addEventListener("pageshow", (event) => event.persisted && each((live) => live.resume()));
    addEventListener("online", () => each((live) => live.lost && live.resume()));
  }

  /** Takes one container into care.
   * @param {HTMLElement} root @param {boolean} seen whether this page saw the operation run */
  function adopt(root, seen) {
    const live = new Live(root, seen);
    lives.set(root, live);
    return live;
  }

  /** Does something to every container.
   * @param {(live: Live) => unknown} action */
  function each(action) {
    for (const live of [...lives.values()]) action(live);
  }

  /** One container and its stream. */
  class Live {
    /** @param {HTMLElement} root @param {boolean} seen */
    constructor(root, seen) {
      this.root = root;
      this.data = root.dataset;
      this.seen = seen || !!root.dataset.liveopToken;
      this.done = !root.dataset.liveopToken;
      this.cursor = "";
      this.misses = 0; // streams that failed in a row
      this.polls = 0; // pages fetched since then
      this.lost = false;
      this.next = "";
      /** @type {EventSource | null} */
      this.source = null;
      this.timer = 0;
      this.watchdog = 0;
      this.lostTimer = 0;
      this.attempt = 0; // makes an answer that comes late count for nothing
      this.spoken = { state: "", stage: this.stage(), quarter: Math.floor((this.percent() ?? 0) / 25) };
    }

    /** Shows the present state and starts to follow. */
    begin() {
      const log = this.part("log-lines");
      if (log) log.scrollTop = log.scrollHeight;
      if (this.done && !this.seen) this.spoken.state = this.data.liveopState ?? "";
      this.tell();
      if (!this.done) this.resume();
      else if (this.seen) this.leave();
    }

    // Connecting

    /** Goes on after any rest: with a stream, or by fetching while nobody looks. */
    resume() {
      if (this.done) return;
      this.rest();
      if (document.hidden) this.later(POLL_HIDDEN, () => this.load());
      else if (fresh(this.data.liveopToken ?? "")) this.open();
      else this.load();
    }

    /** Closes the stream and waits for nothing. */
    rest() {
      this.attempt++;
      this.source?.close();
      this.source = null;
      clearTimeout(this.timer);
      clearTimeout(this.watchdog);
    }

    /** Does one thing later, instead of what was to be done.
     * @param {number} delay @param {() => void} action */
    later(delay, action) {
      clearTimeout(this.timer);
      this.timer = setTimeout(action, delay);
    }

    /** Opens the stream at the cursor. */
    open() {
      const url = new URL(this.data.liveopStream ?? "/stream", location.href);
      url.searchParams.set("token", this.data.liveopToken ?? "");
      url.searchParams.set("channel", this.data.liveopChannel ?? "");
      if (this.cursor) url.searchParams.set("last_event_id", this.cursor);
      const source = (this.source = new EventSource(url));
      /** @param {string} name @param {(data: any) => void} action */
      const on = (name, action) => source.addEventListener(name, (event) => {
        if (source !== this.source) return;
        this.alive();
        action(JSON.parse(event.data));
        if (event.lastEventId) this.cursor = event.lastEventId;
      });
      on("ping", () => {});
      on("fragment", (envelope) => this.apply(envelope));
      on("state", (data) => this.enter(data.state));
      on("chain", (data) => { this.next = data.url; });
      on("end", (data) => this.end(data));
      source.onerror = () => this.missed(source);
      this.watch(FIRST_BYTES);
    }

    /** Holds the stream for dead if it stays silent.
     * @param {number} patience */
    watch(patience) {
      clearTimeout(this.watchdog);
      this.watchdog = setTimeout(() => this.missed(this.source), patience);
    }

    /** Something came by the stream: it works. */
    alive() {
      this.watch(DEAD_AFTER);
      this.misses = this.polls = 0;
      this.found();
    }

    /** The stream failed: try again, after repeated failure (or an answer that is no stream) by the page.
     * @param {EventSource | null} source */
    missed(source) {
      if (!source || source !== this.source) return;
      const refused = source.readyState === EventSource.CLOSED;
      this.rest();
      this.losing();
      this.misses++;
      const again = !refused && this.misses < 3 && fresh(this.data.liveopToken ?? "");
      this.later(backOff(this.misses), () => (again ? this.open() : this.load()));
    }

    /** Fetches the operation's page, and goes on by what it says. */
    async load() {
      const attempt = ++this.attempt;
      const page = await fetchPage(this.data.liveopPage ?? location.href);
      if (attempt !== this.attempt || this.done) return;
      if (page === "signed out") return this.stop("You are signed out.", "Sign in and come back");
      if (page === "gone") return this.stop("This can’t be shown any more.", "Reload the page");
      const copy = page && page.getElementById(this.root.id);
      if (!page || !copy) {
        this.losing();
        this.polls++;
        this.misses = Math.min(this.misses, 2);
        return this.later(document.hidden ? POLL_HIDDEN : backOff(this.polls), () => this.load());
      }
      takeCsrf(page);
      this.take(copy);
      if (FINAL.includes(this.data.liveopState ?? "")) {
        return this.end({
          operation: this.root.id.slice(3), state: this.data.liveopState, url: this.data.liveopPage,
          redirect: this.data.liveopRedirect,
        });
      }
      if (document.hidden) return this.later(POLL_HIDDEN, () => this.load());
      if (this.misses < 4 || ++this.polls % 6 === 0) return this.open();
      this.say("Live updates don’t come through. This is fetched every few seconds instead.", "lost");
      this.later(POLL, () => this.load());
    }

    // What the stream says

    /** Applies one fragment, if it is for an element of this container.
     * @param {Envelope} envelope */
    apply({ id, swap, html }) {
      const target = document.getElementById(id);
      if (!target || target === this.root || !this.root.contains(target) || !this.owns(id)) return;
      const log = this.part("log-lines");
      const keep = log && log.contains(target) ? holdScroll(log) : null;
      const content = parse(html);
      if (swap === "outer") replace(target, content);
      else if (swap === "inner") morphChildren(target, content);
      else if (swap === "append" || swap === "prepend") add(target, content, swap);
      if (log && keep) keep(this.part("log-lines") ?? log, Number(this.data.liveopLogTail) || 200);
      this.tell();
      this.emit("liveop:fragment", { id, swap });
    }

    /** Whether fragments may touch that id.
     * @param {string} id */
    owns(id) {
      return this.root.id.startsWith("op-") ? id.startsWith(this.root.id + "-") : id === "operations-rows" || /^op-.*-row$/.test(id);
    }

    /** Enters a state.
     * @param {string} state */
    enter(state) {
      if (this.data.liveopState !== state) this.data.liveopState = state;
      this.tell();
      this.emit("liveop:state", { operation: this.root.id.slice(3), state });
    }

    /** The last thing said about the operation.
     * @param {{state?: string, redirect?: string | null, [key: string]: unknown}} data */
    end(data) {
      this.rest();
      this.done = true;
      if (data.state) this.data.liveopState = data.state;
      if (data.redirect) this.data.liveopRedirect = data.redirect;
      if (this.next) this.data.liveopNext = this.next;
      delete this.data.liveopToken;
      this.found();
      this.say("");
      this.tell();
      this.emit("liveop:end", data);
      this.leave();
    }

    /** Goes where the ended operation leads, once. */
    leave() {
      const { liveopNext, liveopRedirect } = this.data;
      if (liveopNext) this.follow(liveopNext, 1);
      else if (liveopRedirect) {
        const url = new URL(liveopRedirect, location.href);
        if (/^https?:$/.test(url.protocol)) location.assign(url);
      }
    }

    /** Puts the next operation's container in this one's place.
     * @param {string} address @param {number} tries */
    async follow(address, tries) {
      const url = new URL(address, location.href);
      if (url.origin !== location.origin) return;
      const page = await fetchPage(url.href);
      if (page === "signed out") return this.stop("You are signed out.", "Sign in and come back");
      if (!page || page === "gone") {
        if (tries < 6) this.later(backOff(tries), () => this.follow(address, tries + 1));
        return;
      }
      const next = [...page.querySelectorAll("[data-liveop-channel]")]
        .find((element) => element instanceof HTMLElement && pathOf(element.dataset.liveopPage) === url.pathname);
      if (!(next instanceof HTMLElement)) return;
      takeCsrf(page);
      if (location.pathname === pathOf(this.data.liveopPage)) history.replaceState(history.state, "", url);
      const focused = this.root.contains(document.activeElement);
      lives.delete(this.root);
      this.root.replaceWith(next);
      if (focused) focus(next.querySelector("h1") ?? next);
      adopt(next, true).begin();
    }

    /** Takes over everything from a newer copy of the container.
     * @param {Element} copy */
    take(copy) {
      const log = this.part("log-lines");
      const keep = log && holdScroll(log);
      const message = this.message;
      const before = this.data.liveopState;
      morph(this.root, copy);
      if (message) this.say(...message);
      if (log && keep) keep(this.part("log-lines") ?? log, Infinity);
      this.tell();
      if (before !== this.data.liveopState) this.emit("liveop:state", { operation: this.root.id.slice(3), state: this.data.liveopState });
    }

    // What the page says

    /** One of the regions.
     * @param {string} name */
    part(name) {
      return document.getElementById(`${this.root.id}-${name}`);
    }

    /** The percent that the bar shows, if it shows one. */
    percent() {
      const bar = this.part("progress")?.querySelector("progress[value]");
      return bar instanceof HTMLProgressElement ? Math.floor(bar.position * 100 + 1e-6) : undefined;
    }

    /** The stage that is under way. */
    stage() {
      return text(this.part("stages")?.querySelector('[aria-current="step"] bdi'));
    }

    /** The operation's own title. */
    title() {
      return text(this.root.querySelector(".liveop-title")) || restingTitle;
    }

    /** Brings the tab's title and the announcements up to date. */
    tell() {
      if (!this.root.id.startsWith("op-")) return;
      const state = this.data.liveopState ?? "";
      const percent = this.percent();
      const sign = SIGNS[state] ?? (percent === undefined ? "" : `${percent} %`);
      if (lives.size < 2) {
        const title = (sign && `${sign} · `) + this.title();
        if (document.title !== title) document.title = title;
      }
      const { spoken } = this;
      const stage = this.stage();
      const quarter = Math.floor((percent ?? 0) / 25);
      if (state !== spoken.state) {
        spoken.state = state;
        announce(() => {
          const word = text(this.root.querySelector(".liveop-word"));
          const detail = text(this.root.querySelector(".liveop-outcome-title"));
          return `${this.title()}: ${word}${detail && detail !== word ? `. ${detail}` : ""}`;
        });
      } else if (!FINAL.includes(state)) {
        if (stage && stage !== spoken.stage) announce(stage);
        if (quarter > spoken.quarter && quarter < 4) announce(`${quarter * 25} %`);
      }
      spoken.stage = stage;
      spoken.quarter = quarter;
    }

    /** Says, after a while, that live updates are lost. */
    losing() {
      if (this.lost || this.lostTimer || document.hidden) return;
      this.lostTimer = setTimeout(() => {
        this.lostTimer = 0;
        if (document.hidden || this.done) return;
        this.lost = true;
        this.say("Connection lost, trying again…", "lost");
        announce("Connection lost, trying again.");
      }, SAY_LOST_AFTER);
    }

    /** Says that live updates are here. */
    found() {
      clearTimeout(this.lostTimer);
      this.lostTimer = 0;
      if (this.lost) announce("Live again.");
      this.lost = false;
      if (!this.done && this.message?.[1] !== "live") this.say("Live", "live");
    }

    /** Gives up for good, with a link that helps.
     * @param {string} words @param {string} link */
    stop(words, link) {
      this.rest();
      clearTimeout(this.lostTimer);
      this.lostTimer = 0;
      this.say(words, "lost", link);
      announce(words);
    }

    /** Writes the line about the connection.
     * @param {string} words @param {string} [kind] @param {string} [link] */
    say(words, kind = "", link) {
      /** @type {[string, string, string?]} */
      this.message = [words, kind, link];
      let line = /** @type {HTMLElement | null} */ (this.root.querySelector(".liveop-connection"));
      if (!line) {
        line = document.createElement("div");
        line.className = "liveop-connection";
        this.root.append(line);
      }
      line.hidden = !words;
      line.dataset.kind = kind;
      line.textContent = words;
      if (link) {
        const anchor = document.createElement("a");
        anchor.href = this.data.liveopPage ?? location.href;
        anchor.textContent = link;
        line.append(" ", anchor);
      }
    }

    /** Tells the page around it.
     * @param {string} name @param {unknown} detail */
    emit(name, detail) {
      this.root.dispatchEvent(new CustomEvent(name, { bubbles: true, detail }));
    }

    /** Asks the server to cancel; the stream tells the outcome.
     * @param {HTMLFormElement} form */
    async cancel(form) {
      const button = form.querySelector("button");
      const label = button?.textContent ?? "";
      const set = (/** @type {string} */ words, /** @type {boolean} */ busy) => {
        if (!button?.isConnected) return;
        button.textContent = words;
        busy ? button.setAttribute("aria-disabled", "true") : button.removeAttribute("aria-disabled");
      };
      if (button?.getAttribute("aria-disabled")) return;
      set("Cancelling…", true);
      announce("Cancelling");
      const body = new URLSearchParams(/** @type {any} */ (new FormData(form)));
      const answer = await fetch(form.getAttribute("action") ?? "", {
        method: "POST", body, headers: { "X-Liveops": "1" }, credentials: "same-origin", redirect: "manual",
      }).catch(() => null);
      if (answer?.ok || answer?.status === 409) return;
      set(label, false);
      if (answer?.status === 401 || answer?.type === "opaqueredirect") return this.stop("You are signed out.", "Sign in and come back");
      const words = answer ? "It could not be cancelled from here." : "The server can’t be reached; it was not cancelled.";
      this.say(words, "lost", "Reload the page");
      announce(words);
    }
  }

  // Forms

  /** Sends the cancel form by itself; fills the CSRF field of the others.
   * @param {SubmitEvent} event */
  function onSubmit(event) {
    const form = event.target;
    if (!(form instanceof HTMLFormElement) || form.method !== "post") return;
    const action = event.submitter?.getAttribute("formaction") ?? form.getAttribute("action") ?? "";
    if (new URL(action, location.href).origin !== location.origin) return;
    const field = form.querySelector('input[name="csrf_token"]');
    if (field instanceof HTMLInputElement && !field.value) field.value = csrf()?.content ?? "";
    const root = form.closest("[data-liveop-channel]");
    const live = root && lives.get(root);
    if (!live || !form.dataset.liveopCommand) return;
    if (form.dataset.liveopCommand === "cancel") {
      event.preventDefault();
      live.cancel(form);
    }
  }

  /** Stops the second half of a double click on Cancel: it is not meant for the button that took its place.
   * @param {MouseEvent} event */
  function onClick(event) {
    if (event.detail > 1 && event.target instanceof Element && event.target.closest('[data-liveop-command="restart"]')) event.preventDefault();
  }

  /** The page's CSRF token.
   * @returns {HTMLMetaElement | null} */
  function csrf(from = /** @type {ParentNode} */ (document)) {
    return from.querySelector('meta[name="liveops-csrf"]');
  }

  /** Takes over the CSRF token of a newer page.
   * @param {DocumentFragment} page */
  function takeCsrf(page) {
    const [ours, theirs] = [csrf(), csrf(page)];
    if (ours && theirs) ours.content = theirs.content;
  }

  // Talking to the server

  /** Fetches a page; null means: not now.
   * @param {string} url @returns {Promise<DocumentFragment | "signed out" | "gone" | null>} */
  async function fetchPage(url) {
    try {
      const answer = await fetch(url, {
        headers: { "X-Liveops": "1" }, credentials: "same-origin", redirect: "manual", cache: "no-store",
        signal: AbortSignal.timeout(15_000),
      });
      if (answer.status === 401 || answer.type === "opaqueredirect") return "signed out";
      if ([403, 404, 410].includes(answer.status)) return "gone";
      return answer.ok ? parse(await answer.text()) : null;
    } catch {
      return null;
    }
  }

  /** Whether the token has not expired yet.
   * @param {string} token */
  function fresh(token) {
    try {
      const payload = token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/");
      return JSON.parse(atob(payload)).exp * 1000 > Date.now() + 1000;
    } catch {
      return false;
    }
  }

  /** The path of an address.
   * @param {string | undefined} address */
  function pathOf(address) {
    return new URL(address ?? "", location.href).pathname;
  }

  /** How long to wait before try n: longer each time, and not in step with others.
   * @param {number} n */
  function backOff(n) {
    return Math.min(MAX_DELAY, 500 * 2 ** n) * (0.5 + Math.random() / 2);
  }

  // Changing the page

  /** @type {{createHTML(html: string): any} | undefined} */
  const policy = /** @type {any} */ (window).trustedTypes?.createPolicy("liveops", { createHTML: (/** @type {string} */ html) => html });

  /** Makes nodes of HTML, inert until they are put on the page; a lone <tr> survives.
   * @param {string} html */
  function parse(html) {
    const template = document.createElement("template");
    template.innerHTML = policy ? policy.createHTML(html) : html;
    localize(template.content);
    return template.content;
  }

  /** Puts times, which come in UTC, into the clock of whoever looks.
   * @param {ParentNode} part */
  function localize(part) {
    for (const time of /** @type {NodeListOf<HTMLTimeElement>} */ (part.querySelectorAll(".liveop-meta time, .liveop-row time, .liveop-line time"))) {
      const at = new Date(time.dateTime);
      if (!+at) continue;
      const local = new Date(+at - at.getTimezoneOffset() * 60_000).toISOString();
      time.textContent = time.className ? local.slice(11, 19) : local.slice(0, 16).replace("T", " ");
    }
  }

  /** Puts content in an element's place.
   * @param {Element} target @param {DocumentFragment} content */
  function replace(target, content) {
    const only = content.childElementCount === 1 ? content.firstElementChild : null;
    if (only && only.id === target.id) morph(target, only);
    else target.replaceWith(content);
  }

  /** Adds content; what is on the page already is replaced where it is.
   * @param {Element} target @param {DocumentFragment} content @param {"append" | "prepend"} swap */
  function add(target, content, swap) {
    for (const element of [...content.children]) {
      const old = element.id && document.getElementById(element.id);
      if (!old || !target.contains(old)) continue;
      morph(old, element);
      element.remove();
    }
    target[swap](content);
  }

  /** Makes an element equal to another one, and keeps the nodes that stay: with them focus, selection and scroll.
   * @param {Node} from @param {Node} to */
  function morph(from, to) {
    if (!(from instanceof Element && to instanceof Element)) {
      if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue;
      return;
    }
    if (from.nodeName !== to.nodeName) {
      const name = document.activeElement && from.contains(document.activeElement) && document.activeElement.getAttribute("name");
      from.replaceWith(to);
      if (name) focus(to.querySelector(`[name="${CSS.escape(name)}"]`));
      return;
    }
    for (const { name } of [...from.attributes]) {
      if (!to.hasAttribute(name) && !(name === "open" && from.nodeName === "DETAILS")) from.removeAttribute(name);
    }
    for (const { name, value } of to.attributes) {
      if (from.getAttribute(name) !== value) from.setAttribute(name, value);
    }
    morphChildren(from, to);
  }

  /** Makes an element's children equal to another one's.
   * @param {Node} from @param {Node} to */
  function morphChildren(from, to) {
    let at = from.firstChild;
    for (const next of [...to.childNodes]) {
      const match = twin(from, at, next);
      if (!match) {
        from.insertBefore(next, at);
        continue;
      }
      while (at && at !== match) at = drop(at);
      at = match.nextSibling;
      morph(match, next);
    }
    while (at) at = drop(at);
  }

  /** The child that is to become `next`: the one with its id, else the next one that is like it.
   * @param {Node} parent @param {ChildNode | null} at @param {Node} next */
  function twin(parent, at, next) {
    const id = next instanceof Element && next.id;
    if (!id) {
      let like = at;
      while (like && next instanceof Element && like.nodeName !== next.nodeName) like = like.nextSibling;
      return like && like.nodeName === next.nodeName && !(like instanceof Element && like.id) ? like : null;
    }
    const old = document.getElementById(id);
    return old && old.parentNode === parent && at && !(at.compareDocumentPosition(old) & Node.DOCUMENT_POSITION_PRECEDING) ? old : null;
  }

  /** Removes a node; the answer is the one after it.
   * @param {ChildNode} node */
  function drop(node) {
    const next = node.nextSibling;
    node.remove();
    return next;
  }

  /** Notes where a log is scrolled to; the answer trims it and puts it there again.
   * @param {HTMLElement} log */
  function holdScroll(log) {
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 12;
    const edge = top(log);
    const read = atEnd ? [] : [...log.children].map((line) => ({ line, at: top(line) })).filter(({ at }) => at > edge - 12);
    return (/** @type {HTMLElement} */ now, /** @type {number} */ tail) => {
      while (now.childElementCount > tail) now.firstElementChild?.remove();
      const kept = read.find(({ line }) => line.isConnected);
      if (atEnd) now.scrollTop = now.scrollHeight;
      else if (kept) now.scrollTop += top(kept.line) - kept.at;
    };
  }

  /** Where an element begins on the screen.
   * @param {Element} element */
  function top(element) {
    return element.getBoundingClientRect().top;
  }

  /** Moves the focus, and nothing else.
   * @param {Element | null} element */
  function focus(element) {
    if (!(element instanceof HTMLElement)) return;
    if (element.tabIndex < 0) element.tabIndex = -1;
    element.focus({ preventScroll: true });
  }

  /** The text in an element.
   * @param {Element | null | undefined} element */
  function text(element) {
    return element?.textContent?.trim() ?? "";
  }

  // Milestones

  /** The one element that screen readers listen to. */
  function announcer() {
    let element = document.getElementById("liveop-announcer");
    if (!element) {
      element = document.createElement("div");
      element.id = "liveop-announcer";
      element.className = "liveop-unseen";
      element.setAttribute("role", "status");
      document.body.append(element);
    }
    return element;
  }

  /** @type {(string | (() => string))[]} */
  let unsaid = [];

  /** Says a milestone, once the fragments that belong to it are here; several at once become one text.
   * @param {string | (() => string)} words */
  function announce(words) {
    unsaid.push(words);
    if (unsaid.length > 1) return;
    setTimeout(() => {
      announcer().textContent = [...new Set(unsaid.map((item) => (typeof item === "string" ? item : item())))].join(". ");
      unsaid = [];
    }, 150);
  }

  start();
})();
