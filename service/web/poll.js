// Asking again: soon while things change, more and more rarely while they do not, and never while
// nobody looks.
const SOON = 1000;
const RARELY = 15_000;
const WITHOUT_ANSWER = 3000;

// `work` answers whether anything has changed; `failed` is told of its errors.
export function poll(work, failed) {
  let delay = SOON;
  let timer = null;
  let busy = false;
  let again = false;

  async function round() {
    clearTimeout(timer);
    if (document.hidden) return; // visibilitychange goes on
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
