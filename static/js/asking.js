// A question on its way to Corral, or the wish to stop an answer: the button says so and takes no second press. If
// Corral does not answer (js/problem.js), the question stays where it is, and sending it again cannot ask twice (the
// form's nonce).
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
  document.addEventListener("htmx:before:swap", (event) => {
    const form = asking(event);
    if (!form) return;
    const { status } = event.detail.ctx.response.raw;
    if (status >= 400) return;
    if (form.elements.prompt.type !== "hidden") document.dispatchEvent(new CustomEvent("corral:asked"));
  });

  // A question that had to wait for this answer can be asked now.
  document.addEventListener("corral:answered", ({ detail: { number } }) => {
    const waiting = document.querySelector(`[data-running="${number}"]`);
    if (!waiting) return;
    document.getElementById("prompt")?.removeAttribute("aria-invalid");
    waiting.hidden = true;
    waiting.lastElementChild.replaceChildren();
  });

  // The same question answered twice, after a lost answer to the first sending: it is one turn on the page as well.
  document.addEventListener("htmx:after:swap", () => {
    const seen = new Set();
    for (const turn of document.querySelectorAll("#turns > [data-turn]")) {
      if (seen.has(turn.id)) turn.remove();
      seen.add(turn.id);
    }
  });
})();
