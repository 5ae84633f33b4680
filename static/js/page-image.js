// "See the page" opens the cited page over the conversation; with a modifier key, or without scripts, in a tab.
(() => {
  const build = (tag, properties, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };

  const open = (link) => {
    const name = link.dataset.pageImage;
    const title = build("h2", { id: "page-image-title", textContent: name });
    const close = build("button", { type: "button", className: "button button-small", textContent: "Close" });
    const status = build("p", { textContent: "Fetching the page…" });
    status.setAttribute("role", "status");
    const picture = build("img", { alt: `Picture of ${name}`, hidden: true });
    const dialog = build("dialog", { className: "page-image" }, build("div", { className: "page-image-head" }, title, close), status, picture);
    dialog.setAttribute("aria-labelledby", "page-image-title");
    picture.addEventListener("load", () => { status.remove(); picture.hidden = false; });
    picture.addEventListener("error", () => { status.textContent = "The page could not be shown. Try again."; });
    close.addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    dialog.addEventListener("close", () => { dialog.remove(); link.focus(); });
    picture.src = link.href;
    document.body.append(dialog);
    dialog.showModal();
  };

  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("[data-page-image]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    open(link);
  });
})();
