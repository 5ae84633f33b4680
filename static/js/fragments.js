// Decides which answers may enter the page. htmx 4 swaps every status but 204 and 304, so a proxy's "502 Bad Gateway"
// page would land in a region: an error is swapped only when Corral marked it, a whole page never.
(() => {
  const fail = (detail) => document.dispatchEvent(new CustomEvent("corral:problem", { detail }));

  document.addEventListener("htmx:before:response", (event) => {
    const { raw, status } = event.detail.ctx.response;
    if (raw.redirected) {
      // Signed out meanwhile: let the browser follow the same way, so that the sign-in page is a page.
      event.preventDefault();
      location.reload();
    } else if (status >= 400 && raw.headers.get("X-Corral-Fragment") !== "1") {
      event.preventDefault();
      if (event.detail.ctx.request.method !== "GET" || event.detail.ctx.sourceElement.matches("form, select")) {
        fail("Corral did not answer. Try again in a moment.");
      }
    }
  });

  document.addEventListener("htmx:after:request", (event) => {
    if (/^\s*<!doctype/i.test(event.detail.ctx.text)) event.preventDefault();
  });
})();
