// Decides which answers may enter the page. htmx 4 swaps every status but 204 and 304, so a proxy's "502 Bad Gateway"
// page would land in a region: an error is swapped only when Corral marked it, a whole page never.
(() => {
  // What a person did is told of; what the page asks for by itself will be asked for again.
  const fail = ({ sourceElement: element, request }, status) => {
    const isRead = request.method === "GET";
    if (isRead && !element.matches("form, select, a, details[open] > .step-box")) return;
    const detail = { form: element.closest("form, .steps"), status, isRead };
    document.dispatchEvent(new CustomEvent("corral:problem", { detail }));
  };

  document.addEventListener("htmx:before:response", (event) => {
    const { ctx } = event.detail;
    const { raw, status } = ctx.response;
    if (raw.redirected) {
      // Signed out meanwhile: let the browser follow the same way, so that the sign-in page is a page.
      event.preventDefault();
      location.reload();
    } else if (status >= 400 && raw.headers.get("X-Corral-Fragment") !== "1") {
      event.preventDefault();
      fail(ctx, status);
    }
  });

  document.addEventListener("htmx:error", ({ detail: { ctx } }) => ctx && fail(ctx));

  document.addEventListener("htmx:after:request", (event) => {
    if (/^\s*<!doctype/i.test(event.detail.ctx.text)) event.preventDefault();
  });
})();
