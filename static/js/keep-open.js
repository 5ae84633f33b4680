// A region that renews itself keeps the disclosures a person opened in it. htmx itself keeps the focus, by id.
(() => {
  document.addEventListener("htmx:before:swap", (event) => {
    const region = event.detail.ctx.target;
    if (!(region instanceof Element)) return;
    const open = [...region.querySelectorAll("details[open][id]")].map((details) => details.id);
    event.detail.ctx.openDisclosures = open;
  });
  document.addEventListener("htmx:after:swap", (event) => {
    for (const id of event.detail.ctx.openDisclosures ?? []) {
      const details = document.getElementById(id);
      if (details) details.open = true;
    }
  });
})();
