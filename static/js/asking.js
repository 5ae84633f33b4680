// A question on its way, or the wish to stop an answer: the button says so and takes no second press. A question that
// is not answered stays (js/problem.js); sending it again cannot ask twice (the form's nonce).
(() => {
  const busy = (form, on) => {
    const button = form.querySelector("[data-busy]");
    if (!button) return;
    if (on) button.dataset.idle ??= button.lastChild.textContent;
    button.lastChild.textContent = on ? button.dataset.busy : button.dataset.idle ?? button.lastChild.textContent;
    if (on) button.setAttribute("aria-disabled", "true");
    else button.removeAttribute("aria-disabled");
  };

  const sent = ({ detail: { ctx } }, kind = "[data-ask], [data-stop]") => ctx.sourceElement?.matches?.(kind) && ctx.sourceElement;
  const asking = (event) => sent(event, "[data-ask]");
  // What came in a stream was rendered for everybody who watches, so it holds nobody's token.
  const token = () => document.querySelector("[name=csrfmiddlewaretoken]");
  document.addEventListener("htmx:config:request", (event) => {
    if (asking(event)) event.detail.ctx.request.body.set(token().name, token().value);
  });
  // The page of one turn has no place for another: it is left for the new one's, without htmx.
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-ask]") || document.getElementById("composer")) return;
    event.stopPropagation();
    event.target.append(token().cloneNode());
  }, true);
  document.addEventListener("htmx:before:request", (event) => {
    if (sent(event)) busy(sent(event), true);
  });
  document.addEventListener("htmx:finally:request", (event) => {
    const form = sent(event);
    // Being stopped lasts until the answer has ended, and then the button is gone.
    const goesOn = form && !asking(event) && event.detail.ctx.response?.raw.ok;
    if (form?.isConnected && !goesOn) busy(form, false);
  });
  const taken = () => {
    const problem = document.getElementById("composer-problem");
    document.getElementById("prompt")?.removeAttribute("aria-invalid");
    problem.hidden = true;
    problem.lastElementChild.replaceChildren();
  };
  document.addEventListener("htmx:before:swap", (event) => {
    const { request, response } = event.detail.ctx;
    if (!asking(event) || response.raw.status >= 400) return;
    taken();
    const detail = request.body.get("prompt").replaceAll("\r\n", "\n");
    document.dispatchEvent(new CustomEvent("corral:asked", { detail }));
  });

  // A question that had to wait for this answer can be asked now.
  document.addEventListener("corral:answered", ({ detail: { number } }) => {
    if (document.querySelector(`[data-running="${number}"]`)) taken();
  });

  document.addEventListener("htmx:after:swap", () => {
    // Sent again after a lost answer, it is one turn.
    const seen = new Set();
    for (const turn of document.querySelectorAll("#turns > [data-turn]")) {
      if (seen.has(turn.id)) turn.remove();
      seen.add(turn.id);
    }
  });
})();
