// Counts a "try again in 30 seconds" down, keeps its form's button still until then, and says when it is time.
(() => {
  const start = () => {
    const clock = document.querySelector("[data-countdown]:not([data-counting])");
    const button = (clock?.closest("form") ?? document.querySelector("main form"))?.querySelector(".button[data-busy]");
    if (!clock || !button) return;
    clock.dataset.counting = "yes";
    const until = performance.now() + Number(clock.dataset.countdown) * 1000;
    button.disabled = true;

    const tick = setInterval(() => {
      const left = Math.ceil((until - performance.now()) / 1000);
      clock.textContent = `${left} second${left === 1 ? "" : "s"}`;
      if (left > 0) return;
      clearInterval(tick);
      clock.parentElement.textContent = "You can try again now.";
      button.disabled = false;
      document.dispatchEvent(new CustomEvent("corral:announce", { detail: "You can try again now." }));
    }, 250);
  };

  document.addEventListener("htmx:after:swap", start);
  start();
})();
