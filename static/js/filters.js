// Keeps empty filters out of the address, so that a bookmarked or shared list reads well.
document.addEventListener("htmx:config:request", (event) => {
  const { sourceElement, request } = event.detail.ctx;
  if (!sourceElement.matches("[data-filters]")) return;
  for (const [name, value] of [...request.body]) if (!value) request.body.delete(name);
});
