// htmx parses the server's HTML through this one policy; the Content-Security-Policy allows no other.
// Scripts in such HTML stay inert: script-src knows no inline one but js/start.js, and Corral's fragments hold none.
htmx.registerExtension("corral-trusted-types", {
  init(api) {
    if (!window.trustedTypes) return;
    api.initSecurity(trustedTypes.createPolicy("corral", {
      createHTML: (html) => html,
      createScript: () => { throw new TypeError("Corral evaluates no scripts"); },
    }));
  },
});
