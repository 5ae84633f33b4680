// What did not get through to Corral is said where the eye is: in the form that was sent, for a question in the composer,
// in the steps that were opened, else above the page. It goes with the next try; what may have passed by itself goes as
// soon as Corral answers again.
// document.dispatchEvent(new CustomEvent("corral:problem", {detail: {form, status, isRead}})), without a status if nothing
// came; isRead if it would have changed nothing.
(() => {
  const AT_LEAST = 4000; // milliseconds, to be read in
  const banner = document.getElementById("problem");
  const placeOf = (form) => {
    const owner = form?.matches("[data-ask]") ? document.getElementById("composer") : form;
    return owner?.querySelector("[data-problem]") ?? banner;
  };
  let shown;

  const hide = (problem) => {
    if (problem !== shown) return;
    shown.place.hidden = true;
    shown = undefined;
  };
  const pass = () => {
    if (shown?.passes) setTimeout(hide, Math.max(0, shown.since + AT_LEAST - performance.now()), shown);
  };

  const reloading = () => {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: "button button-small", textContent: "Load the page again" });
    button.addEventListener("click", () => location.reload());
    return button;
  };

  document.addEventListener("corral:problem", ({ detail: { form, status, isRead } }) => {
    // What a page reads on by itself does not take the place of what somebody could not send.
    if (!form && shown && shown.place !== banner) return;
    const kept = form?.matches("[data-ask]") ? "Your question is kept: " : "";
    const next = (words) => kept + (kept ? words : words[0].toUpperCase() + words.slice(1));
    // Refused before it was read: the page's token is no longer good, and never will be.
    const words = isRead && [403, 404, 410].includes(status)
      ? ["This can’t be shown any more. ", reloading()]
      : status === 403
      ? [`This page was open too long, so nothing was sent. ${next("load it again, then try once more.")} `, reloading()]
      : [`Corral did not answer. ${next("try again in a moment.")}`];
    if (shown) hide(shown);
    const place = placeOf(form);
    shown = { place, passes: !status || status > 500, since: performance.now() };
    place.removeAttribute("role"); // it is announced
    delete place.dataset.running;
    (place.querySelector("div") ?? place).replaceChildren(...words);
    place.hidden = false;
    document.dispatchEvent(new CustomEvent("corral:announce", { detail: words[0].trim() }));
  });

  document.addEventListener("htmx:before:request", ({ detail }) => {
    const from = detail.ctx.sourceElement?.closest?.("form, .steps, a");
    if (shown && from && (from.matches("form") || placeOf(from) === shown.place)) hide(shown);
  });
  document.addEventListener("htmx:sse:after:connection", pass);
  document.addEventListener("htmx:after:request", ({ detail }) => {
    if (detail.ctx.response.raw.ok) pass();
  });
})();
