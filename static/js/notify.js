// Tells that an answer is ready: aloud once, in the title while away, and by the browser if asked to.
// A hidden tab's stream is paused (a browser has six connections for all tabs), so it asks now and then.
(() => {
  const ASK_EVERY = 10_000;
  const READY = "● Answer ready · ";
  const WORDS = { answered: "Answer ready", recovered: "Answer ready", failed: "The question was not answered", interrupted: "The answer was interrupted", stopped: "The answer was stopped" };
  const toldOf = new Set();
  const away = () => document.hidden || !document.hasFocus();
  const wanted = () => localStorage.getItem("corral:notify") === "1" && Notification?.permission === "granted";

  const tell = (number, state) => {
    if (toldOf.has(number)) return;
    toldOf.add(number);
    const hasWords = (part) => document.getElementById(`turn-${number}-${part}`)?.textContent.trim();
    const brokeOff = state === "failed" && ["answer", "tail"].some(hasWords);
    const words = brokeOff ? "The answer broke off" : WORDS[state] ?? WORDS.answered;
    document.dispatchEvent(new CustomEvent("corral:announce", { detail: { text: words, keep: true } }));
    if (!away()) return;
    if (words === "Answer ready" && !document.title.startsWith(READY)) document.title = READY + document.title;
    if (!("Notification" in window) || !wanted()) return;
    const name = document.getElementById("session-title")?.textContent ?? "";
    const notice = new Notification(words, { body: name, tag: `${location.pathname}#${number}` });
    notice.onclick = () => { window.focus(); notice.close(); };
  };

  document.addEventListener("corral:answered", ({ detail }) => tell(detail.number, detail.state));

  setInterval(async () => {
    if (!document.hidden) return;
    for (const live of document.querySelectorAll("[data-live]")) {
      if (toldOf.has(live.dataset.live)) continue;
      try {
        const answer = await fetch(live.dataset.stateUrl, { headers: { Accept: "application/json" }, redirect: "error" });
        const { live: goesOn, state } = await answer.json();
        if (!goesOn) tell(live.dataset.live, state);
      } catch { /* The next look may find Corral again. */ }
    }
  }, ASK_EVERY);

  const back = () => {
    if (!away() && document.title.startsWith(READY)) document.title = document.title.slice(READY.length);
  };
  document.addEventListener("visibilitychange", back);
  addEventListener("focus", back);

  const panel = document.querySelector("[data-notify]");
  const wish = document.querySelector("[data-notify-switch]");
  if (!panel || !("Notification" in window)) return;
  const show = () => {
    wish.checked = wanted();
    panel.querySelector("[data-notify-blocked]").hidden = Notification.permission !== "denied";
  };
  wish.addEventListener("change", async () => {
    localStorage.setItem("corral:notify", wish.checked ? "1" : "0");
    if (wish.checked) await Notification.requestPermission();
    show();
  });
  panel.hidden = false;
  show();
})();
