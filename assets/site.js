// @ts-check
/* liveops: comforts of the binary's own pages around the operations: the list, the catalogue, forms and menus. An operation's page has
   its own (page.js). It asks the server for nothing; without it everything works all the same. */
(() => {
  "use strict";

  /** Starts. */
  function start() {
    followList();
    helpForms();
  }

  // The list, and the catalogue's latest operations

  /** @type {Set<string>} the rows that were seen */
  const seen = new Set();
  /** @type {Set<string>} the new rows that wait, so that nothing jumps where somebody points at */
  const held = new Set();

  let touching = false; // a finger leaves its :hover behind
  let clock = { served: "", ahead: 0 }; // what the server's said, and how many milliseconds the reader's is before it

  /** Begins with the list's rows and with times that tell how long ago something was. */
  function followList() {
    if (!document.querySelector(".site-list, .site-kinds")) return;
    for (const row of rows()) seen.add(row.id);
    lookAtList();
    const observer = new MutationObserver(() => {
      lookAtList();
      observer.takeRecords(); // what was just written
    });
    observer.observe(document.body, { childList: true, characterData: true, subtree: true, attributeFilter: ["hidden", "datetime", "data-liveop-now"] });
    setInterval(() => document.hidden || lookAtList(), 1000);
    document.addEventListener("pointerover", ({ pointerType }) => { touching = pointerType === "touch"; });
    for (const name of ["pointerout", "focusout"]) document.addEventListener(name, () => held.size && setTimeout(lookAtList));
    document.addEventListener("click", ({ target }) => target instanceof HTMLElement && target.matches("button.site-news") && showHeld(target));
  }

  /** The rows of the list.
   * @returns {HTMLElement[]} */
  function rows() {
    return [...document.querySelectorAll("#operations-rows > .liveop-row")].filter((row) => row instanceof HTMLElement);
  }

  /** Brings the list up to date: what is new waits or comes in, and times go on. */
  function lookAtList() {
    const busy = isBusy();
    if (!busy) held.clear();
    for (const row of rows()) {
      if (!seen.has(row.id) && busy) held.add(row.id);
      seen.add(row.id);
      row.toggleAttribute("hidden", held.has(row.id));
    }
    const button = document.querySelector("button.site-news");
    tellNews(button, count(rows().filter((row) => row.hidden), "new operation", "new operations"));
    tellPast();
    tellTimes();
  }

  /** Whether somebody points at the list, or goes through it by keyboard. */
  function isBusy() {
    const table = document.querySelector(".site-table");
    return !!table && ((!touching && table.matches(":hover")) || !!table.querySelector(":focus-visible"));
  }

  /** Marks the rows that the filter would let through no longer, and says how many they are. They stay where they are.
   */
  function tellPast() {
    const list = document.querySelector(".site-list[data-liveop-filter]");
    if (!(list instanceof HTMLElement)) return;
    for (const row of rows()) {
      row.toggleAttribute("data-past", !row.querySelector(`[data-state="${list.dataset.liveopFilter}"]`));
    }
    const past = rows().filter((row) => row.hasAttribute("data-past"));
    tellNews(list.querySelector("a.site-news"), count(past, "row no longer matches: reload", "rows no longer match: reload"));
  }

  /** Says something on the table's edge, and aloud when it comes up.
   * @param {Element | null} element @param {string} words */
  function tellNews(element, words) {
    if (!(element instanceof HTMLElement)) return;
    if (words && element.hidden) say(words);
    element.toggleAttribute("hidden", !words);
    write(element, words);
  }

  /** How many there are, in words; nothing for none.
   * @param {unknown[]} all @param {string} one @param {string} more */
  function count({ length }, one, more) {
    return length ? `${length} ${length > 1 ? more : one}` : "";
  }

  /** Lets the rows in that wait.
   * @param {HTMLElement} button */
  function showHeld(button) {
    const focused = button === document.activeElement;
    held.clear();
    lookAtList();
    if (focused) rows()[0]?.querySelector("a")?.focus();
  }

  /** Says how long ago operations began. */
  function tellTimes() {
    const now = serverNow();
    for (const time of /** @type {NodeListOf<HTMLTimeElement>} */ (document.querySelectorAll(".liveop-row-when time, .site-last time"))) {
      const began = local(time);
      if (!began) continue;
      if (time.title !== began) time.title = began;
      let second = time.querySelector("small");
      if (!second && time.closest(".liveop-row")) time.append((second = document.createElement("small")));
      write(second, began.slice(10, 16));
      write(time.firstChild, ago((now - +new Date(time.dateTime)) / 1000) ?? began.slice(0, 10));
    }
  }

  /** What time it is at the server, whatever the reader's clock says. */
  function serverNow() {
    const place = document.querySelector("[data-liveop-now]");
    const served = (place instanceof HTMLElement && place.dataset.liveopNow) || "";
    if (served !== clock.served) clock = { served, ahead: Date.now() - +new Date(served) || 0 };
    return Date.now() - clock.ahead;
  }

  /** How long ago something was that was so many seconds ago; nothing after a day.
   * @param {number} seconds */
  function ago(seconds) {
    if (seconds < 2) return "just now";
    if (seconds < 60) return `${Math.floor(seconds)} s ago`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
    return seconds < 86_400 ? `${Math.floor(seconds / 3600)} h ago` : undefined;
  }

  // Forms and menus

  /** Refuses files that the server would refuse, and closes menus that somebody turned away from. */
  function helpForms() {
    document.addEventListener("change", ({ target }) => {
      if (!(target instanceof HTMLInputElement) || !target.dataset.liveopMaxBytes) return;
      const most = Number(target.dataset.liveopMaxBytes);
      const large = [...(target.files ?? [])].find(({ size }) => size > most);
      const words = large && `“${large.name}” is larger than the ${target.dataset.liveopMax} that are taken here. Choose a smaller file.`;
      target.setCustomValidity(words ?? "");
      target.ariaInvalid = words ? "true" : null;
      target.reportValidity();
    });
    document.addEventListener("click", ({ target }) => closeMenus(target));
    document.addEventListener("keydown", ({ key, target }) => {
      if (key !== "Escape") return;
      const menu = target instanceof Element ? target.closest(".site-menu[open]") : null;
      closeMenus(null);
      menu?.querySelector("summary")?.focus();
    });
  }

  /** Closes the menus that something is not in.
   * @param {EventTarget | null} inside */
  function closeMenus(inside) {
    for (const menu of document.querySelectorAll(".site-menu[open]")) {
      if (!(inside instanceof Node && menu.contains(inside))) menu.removeAttribute("open");
    }
  }

  // Small things

  /** The local time of what has a time in UTC, as `2026-01-31 20:34:05`; nothing where there is none.
   * @param {HTMLTimeElement} time */
  function local({ dateTime }) {
    const at = new Date(dateTime);
    return +at ? new Date(+at - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19).replace("T", " ") : "";
  }

  /** Writes a text that is not there yet.
   * @param {Node | null} node @param {string} words */
  function write(node, words) {
    if (node && node.textContent !== words) node.textContent = words;
  }

  /** Tells a screen reader, also what it was told last.
   * @param {string} words */
  function say(words) {
    const element = document.getElementById("liveop-status");
    write(element, "");
    setTimeout(() => write(element, words), 100);
  }

  start();
})();
