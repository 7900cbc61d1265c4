// @ts-check
/* liveops: keeps the live containers of a page live (docs: protocol). */
(() => {
  "use strict";

  const DEAD_AFTER = 40_000; // the server pings at least every 15 s
  const FIRST_BYTES = 10_000; // a silent stream was swallowed
  const SAY_LOST_AFTER = 3_000;
  const POLL = 5_000;
  const POLL_HIDDEN = 15_000;
  const MAX_DELAY = 15_000;
  const ROWS = "operations-rows";
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

  /** Starts. */
  function start() {
    announcer();
    for (const root of document.querySelectorAll("[data-liveop-channel]")) new Live(/** @type {HTMLElement} */ (root));
    each((live) => live.begin());
    document.addEventListener("submit", onSubmit);
    document.addEventListener("click", onClick, true);
    document.addEventListener("keydown", ({ key, target }) => key === "End" && each((live) => live.part("log-lines") === target && toEnd(target)));
    document.addEventListener("visibilitychange", () => each((live) => live.resume()));
    addEventListener("pagehide", () => each((live) => live.rest()));
    addEventListener("pageshow", (event) => event.persisted && each((live) => live.resume()));
    addEventListener("online", () => each((live) => live.lost && live.resume()));
  }

  /** For every container.
   * @param {(live: Live) => unknown} action */
  function each(action) {
    for (const live of [...lives.values()]) action(live);
  }

  /** One container and its stream. */
  class Live {
    /** @param {HTMLElement} root @param {boolean} seen whether this page saw the operation run */
    constructor(root, seen = false) {
      lives.set(root, this);
      this.root = root;
      this.data = root.dataset;
      this.seen = seen || !!root.dataset.liveopToken;
      this.done = !root.dataset.liveopToken;
      this.cursor = "";
      this.misses = 0; // streams that failed in a row
      this.polls = 0; // pages fetched since then
      this.lost = false;
      this.next = "";
      this.isList = !root.id.startsWith("op-");
      this.behind = !!root.querySelector("[data-liveop-known-only]"); // the stream brings a part
      /** @type {Set<string>} */
      this.touched = new Set(); // the rows that this stream brought
      /** @type {EventSource | null} */
      this.source = null;
      this.timer = 0;
      this.watchdog = 0;
      this.lostTimer = 0;
      this.attempt = 0; // makes an answer that comes late count for nothing
      this.spoken = { state: "", stage: this.stage(), quarter: Math.floor((this.percent() ?? 0) / 25) };
    }

    /** Begins to follow. */
    begin() {
      const log = this.part("log-lines");
      if (log) toEnd(log);
      if (this.done && !this.seen) this.spoken.state = this.data.liveopState ?? "";
      this.tell();
      if (!this.done) this.resume();
      else if (this.seen) this.leave();
    }

    // Connecting

    /** Goes on after a rest. */
    resume() {
      if (this.done) return;
      this.rest();
      if (document.hidden) this.isList || this.later(POLL_HIDDEN, () => this.load());
      else if (fresh(this.data.liveopToken ?? "")) this.open();
      else this.load();
    }

    /** Closes the stream. */
    rest() {
      this.attempt++;
      this.source?.close();
      this.source = null;
      clearTimeout(this.timer);
      clearTimeout(this.watchdog);
    }

    /** Does one thing later, and no other.
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
      this.touched.clear();
      if (this.isList) {
        if (this.behind) source.onopen = () => this.load();
        this.behind = true;
      }
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

    /** The stream works. */
    alive() {
      this.watch(DEAD_AFTER);
      this.misses = this.polls = 0;
      this.found();
    }

    /** The stream failed: tries again, in the end by the page.
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

    /** Fetches the page, and goes on by what it says. */
    async load() {
      const attempt = ++this.attempt;
      const page = await fetchPage(this.data.liveopPage ?? location.href);
      if (attempt !== this.attempt || this.done) return;
      if (page === "signed out") return this.signedOut();
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
      if (this.source) return;
      if (FINAL.includes(this.data.liveopState ?? "")) {
        return this.end({
          operation: this.root.id.slice(3), state: this.data.liveopState, url: this.data.liveopPage,
          redirect: this.data.liveopRedirect ?? null,
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
      const ids = [target, ...content.children].map((element) => element.id);
      const focused = this.root.contains(document.activeElement);
      if (swap === "outer") replace(target, content);
      else if (swap === "inner") morphChildren(target, content);
      else if (swap === "append" || swap === "prepend") add(target, content, swap);
      for (const id of ids) if (swap === "outer" || document.getElementById(id)) this.touched.add(id);
      if (focused && !this.root.contains(document.activeElement)) focus(this.root.querySelector("h1"));
      if (log && keep) keep(this.part("log-lines") ?? log, Number(this.data.liveopLogTail) || 200);
      this.tell();
      this.emit("liveop:fragment", { id, swap });
    }

    /** Whether fragments may touch that id.
     * @param {string} id */
    owns(id) {
      return this.isList ? id === ROWS || /^op-.*-row$/.test(id) : id.startsWith(this.root.id + "-");
    }

    /** Enters a state.
     * @param {string} state */
    enter(state) {
      this.data.liveopState = state;
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
      if (page === "signed out") return this.signedOut();
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
      new Live(next, true).begin();
    }

    /** Takes over everything from a newer copy of the container.
     * @param {Element} copy */
    take(copy) {
      const log = this.part("log-lines");
      const keep = log && holdScroll(log);
      const before = this.data.liveopState;
      if (this.isList) this.keepTouched(copy);
      morph(this.root, copy);
      if (log && keep) keep(this.part("log-lines") ?? log, Infinity);
      const now = this.data.liveopState ?? "";
      now === before ? this.tell() : this.enter(now);
    }

    /** Puts the rows that the stream touched into a copy of the list.
     * @param {Element} copy */
    keepTouched(copy) {
      /** @param {Element | null} [row] */
      const twin = (row) => row && copy.querySelector(`#${row.id}`);
      for (const id of this.touched) if (!document.getElementById(id)) copy.querySelector(`#${id}`)?.remove();
      for (const row of document.getElementById(ROWS)?.children ?? []) {
        if (!this.touched.has(row.id)) continue;
        const [theirs, before] = [twin(row), twin(row.previousElementSibling)];
        const same = row.cloneNode(true);
        if (theirs) theirs.replaceWith(same);
        else if (before) before.after(same);
        else copy.querySelector(`#${ROWS}`)?.prepend(same);
      }
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

    /** Updates the tab's title and the announcements. */
    tell() {
      if (this.isList) return;
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

    /** Takes that back. */
    calm() {
      clearTimeout(this.lostTimer);
      this.lostTimer = 0;
    }

    /** Says that live updates are here. */
    found() {
      this.calm();
      if (this.lost) announce("Live again.");
      this.lost = false;
      if (!this.done && this.line()?.dataset.kind !== "live") this.say("Live", "live");
    }

    /** Gives up until somebody signs in. */
    signedOut() {
      this.stop("You are signed out.", "Sign in and come back");
    }

    /** Gives up for good, with a link that helps.
     * @param {string} words @param {string} link */
    stop(words, link) {
      this.rest();
      this.calm();
      this.say(words, "lost", link);
      announce(words);
    }

    /** The line about the connection.
     * @returns {HTMLElement | null} */
    line() {
      return this.root.querySelector(".liveop-connection");
    }

    /** Writes that line.
     * @param {string} words @param {string} [kind] @param {string} [link] */
    say(words, kind = "", link) {
      let line = this.line();
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
      if (!button || button.ariaDisabled) return;
      const label = button.textContent;
      button.ariaDisabled = "true";
      button.textContent = "Cancelling…";
      announce("Cancelling");
      const body = new URLSearchParams(/** @type {any} */ (new FormData(form)));
      const answer = await fetch(form.getAttribute("action") ?? "", {
        method: "POST", body, headers: { "X-Liveops": "1" }, credentials: "same-origin", redirect: "manual",
      }).catch(() => null);
      if (answer?.ok || answer?.status === 409) return;
      button.ariaDisabled = null;
      button.textContent = label;
      if (answer) return form.submit();
      const words = "Not cancelled: the server can’t be reached.";
      this.say(words, "lost");
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

  /** The second click on Cancel is not for the button in its place.
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

  /** How long to wait before try n.
   * @param {number} n */
  function backOff(n) {
    return Math.min(MAX_DELAY, 500 * 2 ** n) * (0.5 + Math.random() / 2);
  }

  // Changing the page

  /** @type {{createHTML(html: string): any} | undefined} */
  const policy = /** @type {any} */ (window).trustedTypes?.createPolicy("liveops", { createHTML: (/** @type {string} */ html) => html });

  /** Makes nodes of HTML; a lone <tr> survives.
   * @param {string} html */
  function parse(html) {
    const template = document.createElement("template");
    template.innerHTML = policy ? policy.createHTML(html) : html;
    return template.content;
  }

  /** Puts content in an element's place.
   * @param {Element} target @param {DocumentFragment} content */
  function replace(target, content) {
    const only = content.childElementCount === 1 ? content.firstElementChild : null;
    if (only && only.id === target.id) morph(target, only);
    else target.replaceWith(content);
  }

  /** Adds content; what is there already is replaced in its place.
   * @param {Element} target @param {DocumentFragment} content @param {"append" | "prepend"} swap */
  function add(target, content, swap) {
    for (const element of [...content.children]) {
      const old = element.id && document.getElementById(element.id);
      if (!old || !target.contains(old)) continue;
      morph(old, element);
      element.remove();
    }
    if (!target.hasAttribute("data-liveop-known-only")) target[swap](content);
  }

  /** Makes an element equal to another one, and keeps the nodes that stay.
   * @param {Node} from @param {Node} to */
  function morph(from, to) {
    if (!(from instanceof Element && to instanceof Element)) {
      if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue;
      return;
    }
    if (from.className === "liveop-connection") return; // the shim's own
    if (from.nodeName !== to.nodeName) return from.replaceWith(to);
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

  /** The child that is to become `next`.
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

  /** Goes to the log's end, which a resize moves.
   * @param {HTMLElement} log */
  function toEnd(log) {
    log.scrollTop = log.scrollHeight;
    log.dataset.end = `${log.scrollTop}`;
  }

  /** Notes where a log is scrolled to; the answer trims and restores it.
   * @param {HTMLElement} log */
  function holdScroll(log) {
    const atEnd = !log.closest("[data-liveop-paused]") && (log.dataset.end === `${log.scrollTop}` || log.scrollHeight - log.scrollTop - log.clientHeight < 12);
    const edge = top(log);
    const read = atEnd ? [] : [...log.children].map((line) => ({ line, at: top(line) })).filter(({ at }) => at > edge - 12);
    return (/** @type {HTMLElement} */ now, /** @type {number} */ tail) => {
      // Who reads keeps the lines for longer.
      while (now.childElementCount > (atEnd ? tail : 10 * tail)) now.firstElementChild?.remove();
      const kept = read.find(({ line }) => line.isConnected);
      if (atEnd) toEnd(now);
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

  /** Says milestones, once their fragments are here.
   * @param {string | (() => string)} words */
  function announce(words) {
    unsaid.push(words);
    if (unsaid.length > 1) return;
    setTimeout(() => {
      announcer().textContent = [...new Set(unsaid.map((item) => (typeof item === "string" ? item : item())))].join(". ").replaceAll("..", ".");
      unsaid = [];
    }, 150);
  }

  start();
})();
