"""First contentful paint of the new-session page against a bare one-element page, cold, in headless Chromium.

``python benchmarks/first_paint.py [--pairs N] [--indexes N]``
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import dataclass, field
from typing import Any

from measure import interleaved, report
from playwright.sync_api import Browser, BrowserContext, sync_playwright
from servers import Corral, Servers

TARGET = 1.6
TARGET_KB = 60
SECURITY = "django.middleware.security.SecurityMiddleware"
"""First in the settings ``startproject`` generates. Its ``Cross-Origin-Opener-Policy`` makes the browser change the
process, which takes longer than anything else a bare page does; Corral sends that header too."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PAINTED = """() => new Promise(resolve => new PerformanceObserver((list, observer) => {
    const paint = list.getEntriesByName('first-contentful-paint')[0];
    if (paint) { observer.disconnect(); resolve(paint.startTime); }
}).observe({type: 'paint', buffered: true}))"""


@dataclass
class Transfer:
    """What one cold load moved over the wire, head and body of every answer, as compressed."""

    bytes: int = 0
    addresses: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    def watch(self, session: Any) -> None:
        """Listen to the browser's own counters."""
        session.on("Network.requestWillBeSent", self._sent)
        session.on("Network.loadingFinished", self._finished)
        session.send("Network.enable")
        session.send("Network.setCacheDisabled", {"cacheDisabled": True})

    def _sent(self, event: dict[str, Any]) -> None:
        self.addresses[event["requestId"]] = event["request"]["url"]

    def _finished(self, event: dict[str, Any]) -> None:
        self.bytes += event["encodedDataLength"]
        self.sizes[event["requestId"]] = event["encodedDataLength"]


def cold(browser: Browser, cookies: dict[str, str], origin: str) -> BrowserContext:
    """A context as a person's first visit has it: nothing cached, signed in."""
    context = browser.new_context()
    context.add_cookies([{"name": name, "value": value, "url": origin} for name, value in cookies.items()])
    return context


def painted_after(browser: Browser, origin: str, path: str, cookies: dict[str, str]) -> float:
    """Milliseconds from the start of the navigation to the first contentful paint."""
    context = cold(browser, cookies, origin)
    try:
        page = context.new_page()
        answer = page.goto(origin + path, wait_until="commit")
        if answer is None or answer.status != 200 or page.url != origin + path:
            raise SystemExit(f"{path} led to {page.url}")
        return float(page.evaluate(PAINTED))
    finally:
        context.close()


def transferred(browser: Browser, origin: str, path: str, cookies: dict[str, str]) -> Transfer:
    """One cold load to the end of all its requests."""
    context = cold(browser, cookies, origin)
    page = context.new_page()
    transfer = Transfer()
    transfer.watch(context.new_cdp_session(page))
    page.goto(origin + path, wait_until="networkidle")
    context.close()
    return transfer


def tell(transfer: Transfer) -> None:
    """Print the sum and each part."""
    kilobytes = transfer.bytes / 1000
    verdict = "within" if kilobytes < TARGET_KB else "over"
    count = len(transfer.sizes)
    print(f"{'transferred, cold':<28} {kilobytes:.1f} kB in {count} requests  {verdict} the target of {TARGET_KB} kB")
    for request, size in sorted(transfer.sizes.items(), key=lambda item: -item[1]):
        print(f"    {size / 1000:6.1f} kB  {transfer.addresses[request].partition('//')[2].partition('/')[2] or '/'}")


def compare(browser: Browser, corral: Corral, bare: dict[str, int], pairs: int) -> None:
    """Load ours and each of the bare pages in turns, then ours once more to count."""
    ours = f"http://127.0.0.1:{corral.port}"
    for name, port in bare.items():
        theirs = f"http://127.0.0.1:{port}"
        times = interleaved(
            lambda: painted_after(browser, ours, "/sessions/new/", corral.cookies),
            lambda theirs=theirs: painted_after(browser, theirs, "/", {}),  # type: ignore[misc]
            rounds=pairs,
        )
        report(name, *times, unit="ms", at_most=TARGET)
    tell(transferred(browser, ours, "/sessions/new/", corral.cookies))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pairs", type=int, default=25)
    options.add_argument("--indexes", type=int, default=10)
    asked = options.parse_args()
    executable = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if executable is None:
        print("Skipped: no Chromium on this machine (Debian: apt-get install chromium)")
        return
    with Servers() as servers, sync_playwright() as playwright:
        corral = servers.corral("corral", sessions=100, indexes=asked.indexes)
        bare = {
            "first paint, bare as generated": servers.bare(middleware=SECURITY),
            "first paint, bare of headers": servers.bare(),
        }
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        print(f"New-session page with {asked.indexes} sources : one-element page, {asked.pairs} cold pairs [range]")
        compare(browser, corral, bare, asked.pairs)
        browser.close()


if __name__ == "__main__":
    main()
