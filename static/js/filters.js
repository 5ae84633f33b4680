// Keeps empty filters out of the address, so that a bookmarked or shared list reads well.
document.addEventListener("htmx:config:request", (event) => {
  const { sourceElement, request } = event.detail.ctx;
  if (!sourceElement.matches("[data-filters]")) return;
  for (const [name, value] of [...request.body]) if (!value) request.body.delete(name);
});

(() => {
  // Changed before the scripts came: the list follows now.
  const changed = ({ type, value, defaultValue, options }) => options
    ? [...options].some((option) => option.selected !== option.defaultSelected)
    : type !== "hidden" && value !== defaultValue;
  const early = [...document.querySelectorAll("[data-filters]")].find((form) => [...form.elements].some(changed));
  if (early) setTimeout(() => htmx.trigger(early, "input"));
})();
