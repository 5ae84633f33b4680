// Turns asked elsewhere come into an open page: it asks every few seconds, and when the rail tells of one it lacks.
(() => {
  const newest = () => Math.max(0, ...[...document.querySelectorAll("[data-turn]")].map((turn) => Number(turn.dataset.turn)));
  const late = () => [...document.querySelectorAll("[data-late]")];
  const regions = () => [...document.querySelectorAll("[data-newest-turn]")];
  let known = regions();
  let after;

  const look = () => {
    const renewed = regions().filter((region) => !known.includes(region));
    if (!renewed.length) return;
    known = regions();
    const told = Math.max(...renewed.map((region) => Number(region.dataset.newestTurn)));
    if (told > newest() || late().length) htmx.trigger("#newer", "corral:newer");
  };

  document.addEventListener("htmx:config:request", ({ detail: { ctx } }) => {
    if (!ctx.sourceElement.matches("[data-newer]")) return;
    after = newest();
    ctx.request.body.set("after", after);
    for (const turn of late()) ctx.request.body.append("late", turn.dataset.late);
  });

  // One's own question may be on its way, or here meanwhile: its turn comes with the answer to it.
  const isStale = () => document.querySelector("[data-ask].htmx-request") || newest() !== after;
  document.addEventListener("htmx:before:swap", (event) => {
    if (event.detail.ctx.sourceElement.matches("[data-newer]") && isStale()) event.preventDefault();
  });

  // Somebody else's question changes the rail as well.
  document.addEventListener("htmx:after:swap", ({ detail: { ctx } }) => {
    if (ctx.sourceElement.matches("[data-newer]") && ctx.response.raw.status !== 204) document.dispatchEvent(new CustomEvent("corral:visible"));
  });

  // After the swap's other parts have found their places.
  document.addEventListener("htmx:after:swap", () => setTimeout(look));
})();
