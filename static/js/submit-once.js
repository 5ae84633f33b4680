// A form with data-submit-once is sent once: its button says so (data-busy) and takes no second press until one comes
// back to the page. Focus goes to what went wrong (data-focus) when the page opens.
(() => {
  const release = (form) => {
    delete form.dataset.sent;
    for (const button of form.querySelectorAll("[data-idle]")) {
      button.lastChild.textContent = button.dataset.idle;
      button.removeAttribute("aria-disabled");
      delete button.dataset.idle;
    }
  };

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("[data-submit-once]")) return;
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "yes";
    const button = event.submitter;
    if (!button?.dataset.busy) return;
    // Not the disabled property: that would drop the button's own name and value, and the focus.
    button.dataset.idle = button.lastChild.textContent;
    button.lastChild.textContent = button.dataset.busy;
    button.setAttribute("aria-disabled", "true");
    document.dispatchEvent(new CustomEvent("corral:announce", { detail: button.dataset.busy }));
  });

  addEventListener("pageshow", (event) => {
    if (event.persisted) document.querySelectorAll("[data-sent]").forEach(release);
  });

  // Back at a form that was sent, sending it again means the same as before, unless something is changed.
  const token = document.querySelector("[data-submit-once] [name=idempotency_token]");
  const isBack = performance.getEntriesByType("navigation")[0]?.type === "back_forward";
  token?.form.addEventListener("submit", () => {
    history.replaceState({ ...history.state, sent: token.value }, "");
  });
  if (token && isBack && history.state?.sent) {
    const fresh = token.value;
    token.value = history.state.sent;
    // What the browser fills in again, before the page has loaded, is no change by a person.
    const watch = () => token.form.addEventListener("change", () => { token.value = fresh; });
    if (document.readyState === "complete") watch();
    else addEventListener("load", watch);
  }

  // Unless somebody was quicker than the scripts and is on the way already.
  if (document.activeElement === document.body) document.querySelector("[data-focus]")?.focus();
})();
