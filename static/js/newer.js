// Turns that were asked elsewhere come into an open page: the rail tells the newest one's number with every renewal.
(() => {
  const turns = () => [...document.querySelectorAll("[data-turn]")];
  const newest = () => Math.max(0, ...turns().map((turn) => Number(turn.dataset.turn)));
  const late = () => turns().filter(({ dataset }) => ["interrupted", "stopped"].includes(dataset.state) && !("final" in dataset));
  const regions = () => [...document.querySelectorAll("[data-newest-turn]")];
  let known = regions();

  const look = () => {
    const renewed = regions().filter((region) => !known.includes(region));
    if (!renewed.length) return;
    known = regions();
    const told = Math.max(...renewed.map((region) => Number(region.dataset.newestTurn)));
    if (told > newest() || late().length) htmx.trigger("#newer", "corral:newer");
  };

  document.addEventListener("htmx:config:request", ({ detail: { ctx } }) => {
    if (!ctx.sourceElement.matches("[data-newer]")) return;
    ctx.request.body.set("after", newest());
    for (const turn of late()) ctx.request.body.append("late", turn.dataset.turn);
  });

  // After the swap's other parts have found their places.
  document.addEventListener("htmx:after:swap", () => setTimeout(look));

  // Another window of this browser that shows the same session need not wait for its next renewal.
  const windows = new BroadcastChannel("corral-asked");
  windows.addEventListener("message", ({ data }) => {
    if (data === location.pathname) document.dispatchEvent(new CustomEvent("corral:visible"));
  });
  document.addEventListener("htmx:before:swap", ({ detail: { ctx } }) => {
    if (ctx.sourceElement.matches("form[data-ask]") && ctx.response.raw.ok) windows.postMessage(location.pathname);
  });
})();
