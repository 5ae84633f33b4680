// Shows and serves the copy buttons: data-copy names the element whose value or text is copied.
(() => {
  const serve = (root) => root.querySelectorAll("[data-copy][hidden]").forEach((button) => { button.hidden = false; });
  if (!navigator.clipboard) return;

  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-copy]");
    if (!button) return;
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText((source.value ?? source.textContent).trim());
      document.dispatchEvent(new CustomEvent("corral:announce", { detail: "Copied" }));
      button.classList.add("copied");
      setTimeout(() => button.classList.remove("copied"), 1500);
    } catch {
      if (source.select) source.select();
      else getSelection().selectAllChildren(source);
      document.dispatchEvent(new CustomEvent("corral:announce", { detail: "Could not copy; the text is selected." }));
    }
  });
  serve(document);
  document.addEventListener("htmx:after:swap", () => serve(document));
  document.addEventListener("htmx:sse:after:message", () => serve(document));
})();
