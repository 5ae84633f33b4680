// A hidden tab asks for nothing; when it is seen again, its regions ask at once (hx-trigger="… corral:visible").
(() => {
  document.addEventListener("htmx:config:request", (event) => {
    if (document.hidden) event.preventDefault();
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) document.dispatchEvent(new CustomEvent("corral:visible"));
  });
})();
