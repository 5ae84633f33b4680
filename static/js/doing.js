// The line below an answer that grows: that it is being written, or that there is no connection. Back on line, the
// stream is taken up at once, with its cursor.
(() => {
  const LOST = "No connection. The answer goes on without this page.";
  const MOMENT = 2000;
  let pending;

  const say = () => {
    pending = undefined;
    const lines = document.querySelectorAll("[data-live] .doing:not([data-lost])");
    for (const line of lines) {
      line.dataset.lost = line.textContent;
      line.textContent = LOST;
    }
    if (lines.length) document.dispatchEvent(new CustomEvent("corral:announce", { detail: LOST }));
  };
  const lost = () => { pending ??= setTimeout(say, MOMENT); };
  const found = () => {
    clearTimeout(pending);
    pending = undefined;
    for (const line of document.querySelectorAll("[data-lost]")) {
      if (line.textContent === LOST) line.textContent = line.dataset.lost;
      delete line.dataset.lost;
    }
  };

  addEventListener("offline", lost);
  // With 503 Corral itself says that too many watch. An end in good order, like the one of every minute, is no error.
  document.addEventListener("htmx:sse:error", ({ detail }) => { if (detail.status !== 503) lost(); });
  document.addEventListener("htmx:sse:after:connection", found);
  document.addEventListener("htmx:sse:after:message", ({ target }) => {
    found();
    const [doing, tail] = ["doing", "tail"].map((part) => document.getElementById(`turn-${target.dataset.live}-${part}`));
    const words = tail?.textContent;
    // An element tells of its end, until there is more.
    const goesOn = doing && words && !(doing.firstElementChild && [undefined, words].includes(doing.before));
    if (goesOn && doing.textContent !== "Writing…") doing.textContent = "Writing…";
    if (doing) doing.before = words;
  });

  // Where there is no stream, the turn itself asks every two seconds.
  const polls = ({ detail: { ctx } }) => ctx?.sourceElement?.matches?.("[data-turn]");
  document.addEventListener("htmx:error", (event) => { if (polls(event)) lost(); });
  document.addEventListener("htmx:after:request", (event) => { if (polls(event)) found(); });

  addEventListener("online", () => {
    for (const live of document.querySelectorAll("[data-live]")) {
      const stream = live._htmx?.sse;
      // What seems open may be dead without knowing it.
      stream?.reader?.cancel();
      stream?.delayCanceller?.();
    }
  });
})();
