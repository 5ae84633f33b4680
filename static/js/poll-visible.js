// A hidden tab asks for nothing; when it is seen again, or the browser is on line again, its regions ask at once
// (hx-trigger="… corral:visible").
(() => {
  const ask = () => {
    if (!document.hidden) document.dispatchEvent(new CustomEvent("corral:visible"));
  };
  document.addEventListener("htmx:config:request", (event) => {
    if (document.hidden) event.preventDefault();
  });
  document.addEventListener("visibilitychange", ask);
  addEventListener("online", ask);
})();
