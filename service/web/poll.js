// Polling: every second while things change, less and less often while they do not, and not at all
// while the tab is hidden.
const SOON = 1000;
const RARELY = 15_000;
const WITHOUT_ANSWER = 3000;

// `work` resolves to whether anything has changed; `failed` receives its error, or null after a success.
export function poll(work, failed) {
  let delay = SOON;
  let timer = null;
  let busy = false;
  let again = false;

  async function round() {
    clearTimeout(timer);
    if (document.hidden) return; // visibilitychange resumes
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    try {
      delay = (await work()) ? SOON : Math.min(RARELY, delay * 1.4);
      failed(null);
    } catch (error) {
      delay = Math.min(WITHOUT_ANSWER, delay * 1.4);
      failed(error);
    }
    busy = false;
    timer = setTimeout(round, again ? 0 : delay);
    again = false;
  }

  function now() {
    delay = SOON;
    return round();
  }
  document.addEventListener("visibilitychange", () => document.hidden || now());
  addEventListener("online", now);
  return now;
}
