// @ts-check
/* liveops: comforts of a page that liveops.js keeps live. It adds to what is there, and asks the server for nothing; without it
   everything works all the same. */
(() => {
  "use strict";

  /** Starts, and looks again whenever something changed. */
  function start() {
    localize();
    document.addEventListener("keydown", ({ key, target }) => key === "End" && target instanceof HTMLElement && toEnd(target));
    document.addEventListener("click", spareRestart, true);
    new MutationObserver(localize).observe(document.body, { childList: true, characterData: true, subtree: true });
  }

  /** Shows times, which come in UTC, as local ones. */
  function localize() {
    for (const time of /** @type {NodeListOf<HTMLTimeElement>} */ (document.querySelectorAll(".liveop-meta time, .liveop-row time, .liveop-line time"))) {
      const at = new Date(time.dateTime);
      if (!+at) continue;
      const local = new Date(+at - at.getTimezoneOffset() * 60_000).toISOString();
      const words = time.className ? local.slice(11, 19) : local.slice(0, 16).replace("T", " ");
      if (time.textContent !== words) time.textContent = words;
    }
  }

  /** Follows a log again, which a busy one would outrun.
   * @param {HTMLElement} log */
  function toEnd(log) {
    if (!log.matches(".liveop-log-lines")) return;
    log.scrollTop = log.scrollHeight;
    log.dataset.end = `${log.scrollTop}`;
  }

  /** The second click on Cancel is not for the button in its place.
   * @param {MouseEvent} event */
  function spareRestart(event) {
    if (event.detail > 1 && event.target instanceof Element && event.target.closest('[data-liveop-command="restart"]')) event.preventDefault();
  }

  start();
})();
