// @ts-check
/* liveops: comforts of what liveops.js keeps live, in pages of a host too. It adds to what is there, and asks the server for nothing;
   without it everything works all the same. */
(() => {
  "use strict";

  const QUIET_AFTER = 40; // seconds
  const TIMES = ".liveop-meta time, .liveop-line time"; // that are shown as local ones

  /** What of an element tells news of an operation, or is the reader's doing. */
  const WATCHED = ["data-liveop-state", "data-liveop-paused", "data-liveop-since", "data-liveop-now", "data-kind", "data-wrap", "data-attempt", "data-elapsed", "hidden", "aria-pressed"];

  /** What is known of one container.
   * @typedef {object} Known
   * @property {string} attempt @property {string} given the container's own figure
   * @property {number} elapsed seconds, at the moment `at` of this page's own time @property {number} at
   * @property {number} news when something was last heard @property {boolean} paused @property {boolean} refused
   * @property {number} seen the newest line that was in sight @property {Record<string, HTMLElement | null>} found */

  /** @type {WeakMap<HTMLElement, Known>} */
  const known = new WeakMap();
  /** @type {Set<string>} the containers whose end is to be told; a tab keeps them over a reload */
  const wanted = new Set((recall(() => sessionStorage, "liveops-notify") ?? "").split(" ").filter(Boolean));

  /** Starts, and looks again whenever something changed. */
  function start() {
    localizeIn(document);
    lookAtAll();
    const times = new MutationObserver((records) => records.forEach(localizeNew));
    const observer = new MutationObserver(() => {
      lookAtAll();
      observer.takeRecords(); // what was just written
    });
    times.observe(document, { childList: true, characterData: true, subtree: true, attributeFilter: ["datetime"] });
    observer.observe(document, { childList: true, characterData: true, subtree: true, attributeFilter: WATCHED });
    setInterval(() => document.hidden || lookAtAll(), 250);
    document.addEventListener("scroll", ({ target }) => isLog(target) && lookAtAll(), true);
    document.addEventListener("keydown", ({ key, target }) => key === "End" && isLog(target) && toEnd(target));
    document.addEventListener("click", spareRestart, true);
    document.addEventListener("click", onClick);
    // Before anything measures the new lines: what changes in them later has to be measured once more.
    document.addEventListener("liveop:fragment", () => times.takeRecords().forEach(localizeNew));
    for (const name of ["liveop:fragment", "liveop:state"]) {
      document.addEventListener(name, ({ target }) => { if (target instanceof HTMLElement) of(target).news = performance.now(); });
    }
    document.addEventListener("liveop:end", ({ target }) => target instanceof HTMLElement && target.matches(".liveop") && ended(target));
  }

  /** The containers of operations. */
  function operations() {
    const roots = [.../** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('.liveop[id^="op-"]'))];
    // Of two that are called the same, ids lead to the first only.
    return roots.filter((root) => document.getElementById(root.id) === root);
  }

  /** What is known of a container.
   * @param {HTMLElement} root @returns {Known} */
  function of(root) {
    const now = performance.now();
    const fresh = { attempt: "", given: "", elapsed: 0, at: now, news: now, paused: false, refused: false, seen: 0, found: {} };
    return known.get(root) ?? (known.set(root, fresh), fresh);
  }

  /** Brings all that is said here up to date. */
  function lookAtAll() {
    operations().forEach(look);
    for (const took of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-liveop-since]"))) {
      const list = took.closest("[data-liveop-channel]");
      if (!isLost(list)) write(took, duration(Math.max(0, (serverNow(list) - +new Date(took.dataset.liveopSince ?? "")) / 1000)));
    }
  }

  let clock = { served: "", ahead: 0 }; // what the server's said, and how many milliseconds the reader's is before it

  /** What time it is at the server, whatever the reader's clock says.
   * @param {Element | null} list */
  function serverNow(list) {
    const served = (list instanceof HTMLElement && list.dataset.liveopNow) || "";
    if (served !== clock.served) clock = { served, ahead: Date.now() - +new Date(served) || 0 };
    return Date.now() - clock.ahead;
  }

  /** Brings a container up to date.
   * @param {HTMLElement} root */
  function look(root) {
    tick(root);
    tellQuiet(root);
    lookAtLog(root);
    for (const button of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll(".liveop-copy"))) set(button, "hidden", false);
    lookAtNotify(root);
    drawIcon(root);
  }

  // What goes on without the server

  /** Lets the times go on between the server's figures, which need nobody's clock; none goes back.
   * @param {HTMLElement} root */
  function tick(root) {
    const [facts, is, given] = [part(root, "progress"), of(root), root.dataset.liveopElapsed ?? ""];
    if (!facts?.dataset.elapsed) return;
    const figure = Number(facts.dataset.elapsed);
    const attempt = facts.dataset.attempt ?? "";
    const least = given === is.given ? figure : Math.max(figure, Number(given));
    if (attempt !== is.attempt || least > elapsed(is)) Object.assign(is, { attempt, elapsed: least, at: performance.now() });
    is.given = given;
    const now = elapsed(is);
    // Without news from the server there is no telling.
    if (isLost(root)) return;
    write(facts.querySelector(".liveop-elapsed"), duration(now));
    write(facts.querySelector(".liveop-left"), duration(Math.max(1, Number(facts.dataset.left) + figure - now)));
    for (const stage of /** @type {NodeListOf<HTMLElement>} */ (part(root, "stages")?.querySelectorAll(".liveop-stage[data-began]") ?? [])) {
      write(stage.querySelector(".liveop-stage-time"), duration(now - Number(stage.dataset.began)));
    }
  }

  /** How long an attempt runs.
   * @param {Known} is */
  function elapsed(is) {
    return is.elapsed + (performance.now() - is.at) / 1000;
  }

  /** Says that a silent operation is not a lost connection.
   * @param {HTMLElement} root */
  function tellQuiet(root) {
    const silent = Math.floor((performance.now() - of(root).news) / 10_000) * 10;
    const quiet = silent >= QUIET_AFTER && line(root)?.dataset.kind === "live" && root.dataset.liveopState !== "waiting";
    write(find(root, ".liveop-note"), quiet ? `No news for ${duration(silent)}, still connected. ${told(root)}`.trim() : told(root));
  }

  /** What became of the wish to be told the end.
   * @param {HTMLElement} root */
  function told(root) {
    if (wanted.has(root.id)) return "Keep this tab open: it tells you at the end.";
    return of(root).refused ? "This browser does not allow notifications from here." : "";
  }

  // The log

  /** Shows what the log can do, and what came while its reader looked elsewhere.
   * @param {HTMLElement} root */
  function lookAtLog(root) {
    const [log, jump, is] = [part(root, "log-lines"), find(root, ".liveop-jump"), of(root)];
    if (!log) return;
    set(root.dataset, "liveopPaused", is.paused ? "" : undefined);
    const isOff = recall(() => localStorage, "liveops-wrap") === "off";
    if (log.parentElement) set(log.parentElement.dataset, "wrap", isOff ? "off" : undefined);
    const follows = !is.paused && isAtEnd(log);
    const newest = Number(log.lastElementChild?.id.split("-").pop() ?? 0);
    if (follows || newest < is.seen) is.seen = newest;
    const over = isOver(root);
    write(jump, newest > is.seen ? `Jump to latest, ${(newest - is.seen).toLocaleString("en")} new` : "Jump to latest");
    if (jump) set(jump, "hidden", over || follows);
    const [pause, wrap] = [find(root, ".liveop-pause"), find(root, ".liveop-wrap")];
    write(pause, follows ? "Pause" : "Follow");
    if (pause) set(pause, "hidden", over);
    if (wrap) set(wrap, "hidden", false);
    if (wrap) set(wrap, "ariaPressed", `${!isOff}`);
  }

  /** Whether the reader sees the log's end; a resize moves it without anybody's wish.
   * @param {HTMLElement} log */
  function isAtEnd(log) {
    return log.dataset.end === `${log.scrollTop}` || log.scrollHeight - log.scrollTop - log.clientHeight < 12;
  }

  /** Follows the log again, from its end on.
   * @param {HTMLElement} root */
  function followLog(root) {
    of(root).paused = false;
    toEnd(part(root, "log-lines"));
  }

  /** Goes to a log's end, which a busy one would outrun.
   * @param {HTMLElement | null} log */
  function toEnd(log) {
    if (!log) return;
    log.scrollTop = log.scrollHeight;
    log.dataset.end = `${log.scrollTop}`;
  }

  /** Whether it is a log that scrolls.
   * @param {unknown} target @returns {target is HTMLElement} */
  function isLog(target) {
    return target instanceof HTMLElement && target.matches(".liveop-log-lines");
  }

  // What is pressed

  /** @param {MouseEvent} event */
  function onClick({ target }) {
    const button = target instanceof Element ? target.closest("button") : null;
    const root = button?.closest(".liveop");
    if (!button || !(root instanceof HTMLElement)) return;
    const [log, is] = [part(root, "log-lines"), of(root)];
    if (button.matches(".liveop-jump")) {
      followLog(root);
      log?.focus({ preventScroll: true });
    } else if (button.matches(".liveop-pause")) {
      if (is.paused || (log && !isAtEnd(log))) followLog(root);
      else is.paused = true;
    } else if (button.matches(".liveop-wrap")) {
      const follows = log && isAtEnd(log) && !is.paused;
      const off = button.ariaPressed === "true";
      recall(() => localStorage, "liveops-wrap", off ? "off" : "on");
      lookAtLog(root);
      if (follows) followLog(root);
    } else if (button.matches(".liveop-copy")) copy(button, log);
    else if (button.matches(".liveop-notify")) notify(root);
    look(root);
  }

  /** The second click on Cancel is not for the button in its place.
   * @param {MouseEvent} event */
  function spareRestart(event) {
    if (event.detail > 1 && event.target instanceof Element && event.target.closest('[data-liveop-command="restart"]')) event.preventDefault();
  }

  /** Copies what a button is for: its own text, or the log's lines.
   * @param {HTMLButtonElement} button @param {HTMLElement | null} log */
  async function copy(button, log) {
    const own = button.dataset.copy;
    const shown = own === undefined ? log : button.parentElement?.querySelector("code");
    const lines = [...(log?.children ?? [])].map((line) => [...line.querySelectorAll("time, bdi")].map((piece) => piece.textContent).join(" "));
    let words = "Copied";
    try {
      await navigator.clipboard.writeText(own ?? lines.join("\n"));
    } catch {
      // Not allowed, or the page did not come by https: what is selected can be copied all the same.
      if (shown) getSelection()?.selectAllChildren(shown);
      words = "Selected";
    }
    write(button, words);
    say(words === "Copied" ? "Copied" : "Selected, to be copied by the keyboard");
    setTimeout(() => write(button, "Copy"), 2_000);
  }

  // The end, where nobody looks

  /** Offers to tell the end, where the browser can.
   * @param {HTMLElement} root */
  function lookAtNotify(root) {
    const button = find(root, ".liveop-notify");
    if (!button) return;
    const wants = wanted.has(root.id);
    const isOffered = "Notification" in window && (wants || Notification.permission !== "denied");
    // It does not vanish under the finger that pressed it.
    set(button, "hidden", !isOffered && document.activeElement !== button);
    set(button, "ariaPressed", `${wants}`);
  }

  /** Asks the browser for leave, the first time; or takes the wish back.
   * @param {HTMLElement} root */
  async function notify(root) {
    if (!wanted.delete(root.id)) {
      of(root).refused = (await Notification.requestPermission().catch(() => "denied")) !== "granted";
      if (!of(root).refused) wanted.add(root.id);
    }
    say(told(root));
    keepWanted();
    look(root);
  }

  /** Keeps whose end is to be told. */
  function keepWanted() {
    recall(() => sessionStorage, "liveops-notify", [...wanted].join(" "));
  }

  /** Tells the end; of a chain that of its last.
   * @param {HTMLElement} root */
  function ended(root) {
    leaveGone(root);
    const box = part(root, "log-lines")?.parentElement;
    if (box) box.dataset.seen = ""; // running: its height stays
    if (!wanted.delete(root.id)) return;
    const next = root.dataset.liveopNext?.match(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/);
    if (next) wanted.add(`op-${next[0]}`);
    keepWanted();
    if (next) return;
    const [title, word, outcome] = [".liveop-title", ".liveop-word", ".liveop-outcome-title"].map((name) => find(root, name)?.textContent?.trim() ?? "");
    try {
      const body = outcome && outcome !== word ? `${word}. ${outcome}` : word;
      const shown = new Notification(title, { body, tag: root.id, icon: icon(root) });
      shown.onclick = () => {
        window.focus();
        shown.close();
      };
    } catch {
      // Some telephones only let service workers do it.
    }
  }

  /** Takes the focus from a button that is there no longer than the operation runs to the title.
   * @param {HTMLElement} root */
  function leaveGone(root) {
    const focused = document.activeElement;
    const title = find(root, "h1");
    if (!title || !focused?.matches(".liveop-notify, .liveop-pause, .liveop-jump") || !root.contains(focused)) return;
    title.tabIndex = -1;
    title.focus({ preventScroll: true });
  }

  // The tab's icon

  /** Draws the state into the tab's icon, where the page offers its own for that and is about one operation.
   * @param {HTMLElement} root */
  function drawIcon(root) {
    const link = document.querySelector("link[data-liveop-icon]");
    if (!(link instanceof HTMLLinkElement) || operations().length !== 1) return;
    const href = icon(root);
    if (link.getAttribute("href") !== href) link.setAttribute("href", href);
  }

  /** @type {Record<string, [string, string]>} colour and sign of the states that are not of a percent */
  const ICONS = {
    succeeded: ["#1a7742", "m4.5 8.5 2.5 2.5 4.5-5.5"], failed: ["#b3261e", "m5.2 5.2 5.6 5.6m0-5.6-5.6 5.6"],
    cancelled: ["#566070", "M5.5 5.5h5v5h-5z"], interrupted: ["#855700", "M8 4v5m0 2v1"],
  };

  /** The icon of a state, as an address.
   * @param {HTMLElement} root */
  function icon(root) {
    const state = root.dataset.liveopState ?? "";
    const [colour, sign] = Object.hasOwn(ICONS, state) ? ICONS[state] : [];
    const bar = part(root, "progress")?.querySelector("progress[value]");
    const done = bar instanceof HTMLProgressElement ? Math.floor(bar.position * 100) : 0;
    const drawn = sign
      ? `<circle cx="8" cy="8" r="8" fill="${colour}"/><path d="${sign}" fill="none" stroke="#fff" stroke-width="2" stroke-linecap="round"/>`
      : `<circle cx="8" cy="8" r="6" fill="#fff" stroke="#b9c4d6" stroke-width="4"/><circle cx="8" cy="8" r="6" fill="none" stroke="#2b5bd0" stroke-width="4" pathLength="100" stroke-dasharray="${done} 100" transform="rotate(-90 8 8)"/>`;
    return `data:image/svg+xml,${encodeURIComponent(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">${drawn}</svg>`)}`;
  }

  // Local times

  /** Shows as local ones the times that are new or changed; a long log has many others.
   * @param {MutationRecord} record */
  function localizeNew({ target, addedNodes }) {
    const time = (target instanceof Element ? target : target.parentElement)?.closest(TIMES);
    if (time) localize(time);
    for (const node of addedNodes) if (node instanceof Element) localizeIn(node);
  }

  /** Shows the times in something as local ones, or itself.
   * @param {ParentNode} place */
  function localizeIn(place) {
    if (place instanceof Element && place.matches(TIMES)) localize(place);
    place.querySelectorAll(TIMES).forEach(localize);
  }

  /** Shows a time, which comes in UTC, as a local one.
   * @param {Element} time */
  function localize(time) {
    const at = new Date(time.getAttribute("datetime") ?? "");
    if (!+at) return;
    const local = new Date(+at - at.getTimezoneOffset() * 60_000).toISOString();
    write(time, time.className ? local.slice(11, 19) : local.slice(0, 16).replace("T", " "));
  }

  // Small things

  /** Seconds as the server writes them.
   * @param {number} seconds */
  function duration(seconds) {
    const s = Math.floor(seconds);
    if (s < 1) return "under 1 s";
    if (s < 60) return `${s} s`;
    if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
    if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
    return `${Math.floor(s / 86_400)} d ${Math.floor(s / 3600) % 24} h`;
  }

  /** One of a container's regions.
   * @param {HTMLElement} root @param {string} name */
  function part(root, name) {
    return document.getElementById(`${root.id}-${name}`);
  }

  /** The first of its kind in a container, which is remembered: it may stand behind a long log.
   * @param {HTMLElement} root @param {string} css @returns {HTMLElement | null} */
  function find(root, css) {
    const { found } = of(root);
    const is = found[css];
    return is?.matches(css) && root.contains(is) ? is : (found[css] = root.querySelector(css));
  }

  /** The line about the connection, which is not this script's.
   * @param {Element | null} root @returns {HTMLElement | null | undefined} */
  function line(root) {
    return root instanceof HTMLElement ? find(root, ".liveop-connection") : null;
  }

  /** Whether a container's connection is lost.
   * @param {Element | null} root */
  function isLost(root) {
    return line(root)?.dataset.kind === "lost";
  }

  /** Whether a container's operation is over.
   * @param {HTMLElement} root */
  function isOver(root) {
    return !root.dataset.liveopToken;
  }

  /** Sets what is not set yet: whatever is written is observed.
   * @param {any} on @param {string} name @param {unknown} value */
  function set(on, name, value) {
    if (on[name] === value) return;
    if (value === undefined) delete on[name];
    else on[name] = value;
  }

  /** Writes a text that is not there yet.
   * @param {Element | null} element @param {string} words */
  function write(element, words) {
    if (element && element.textContent !== words) element.textContent = words;
  }

  /** Tells a screen reader, also what it was told last.
   * @param {string} words */
  function say(words) {
    write(document.getElementById("liveop-status"), "");
    setTimeout(() => write(document.getElementById("liveop-status"), words), 100);
  }

  /** What a browser keeps under a name, or keeps from now on; some keep nothing.
   * @param {() => Storage} storage @param {string} name @param {string} [value] */
  function recall(storage, name, value) {
    try {
      if (value !== undefined) storage().setItem(name, value);
      return storage().getItem(name);
    } catch {
      return null;
    }
  }

  start();
})();
