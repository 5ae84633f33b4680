"""Takes the README's pictures: ``make screenshots``. Needs Chromium.

Starts Corral and the embedded server with the sample documents, chooses sources as a person does, asks a question with
the official SDK, and photographs the new-session page in light and the session in dark.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from llama_cloud import LlamaCloud
from playwright.sync_api import Page, ViewportSize, expect, sync_playwright

from tests import engines
from tests.e2e.houses import COOKIE, house
from tests.localcloud.fixtures import RunningLocalcloud, localclouds

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "dashboard" / "localcloud" / "samples"
IMAGES = ROOT / "docs" / "images"
QUESTION = "What does the MIT licence ask of me when I sell a product?"
SIZE: ViewportSize = {"width": 1280, "height": 800}
MOST_BYTES = 200_000


def main() -> int:
    """Take both pictures; answer 1 where there is no Chromium."""
    if reason := engines.why_missing("chromium"):
        print(f"No pictures: {reason}", file=sys.stderr)  # noqa: T201
        return 1
    with tempfile.TemporaryDirectory() as name, localclouds(Path(name)) as start:
        cloud = start(docs=SAMPLES, token_delay=0.02)
        with house(Path(name), cloud.base_url, cloud.api_key, sessions={}) as home, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=engines.chromium(), args=["--no-sandbox"])
            context = browser.new_context(base_url=home.url, viewport=SIZE)
            context.add_cookies([{"name": COOKIE, "value": home.cookies["ada"], "url": home.url}])
            _photograph(context.new_page(), cloud)
            browser.close()
    return 0


def _photograph(page: Page, cloud: RunningLocalcloud) -> None:
    page.goto("/sessions/new/")
    for source in ("Corral handbook", "Open-source licences"):
        page.get_by_role("checkbox", name=source).check()
    page.evaluate("document.activeElement.blur()")
    page.mouse.move(0, 0)
    _take(page, "new-session")
    page.get_by_role("button", name="Create session").click()
    page.get_by_role("region", name="Last run").wait_for()
    session_id = page.url.rstrip("/").rpartition("/")[2]
    with LlamaCloud(api_key=cloud.api_key, base_url=cloud.base_url) as sdk:
        bound = sdk.chat.retrieve(session_id).index_ids or []
        with sdk.chat.with_streaming_response.stream(session_id, prompt=QUESTION, index_ids=bound) as answer:
            for _ in answer.iter_lines():
                pass
    page.emulate_media(color_scheme="dark")
    page.wait_for_timeout(5_000)  # until Corral asks LlamaCloud again about a session it has just seen
    page.reload(wait_until="networkidle")
    expect(page.get_by_role("region", name="Last run")).to_contain_text("Worked", timeout=30_000)
    _take(page, "session")


def _take(page: Page, name: str) -> None:
    path = IMAGES / f"{name}.png"
    size = len(page.screenshot(path=path))
    print(f"{path.relative_to(ROOT)}: {size / 1000:.0f} kB")  # noqa: T201
    if size > MOST_BYTES:
        raise SystemExit(f"{name}.png is too heavy for a README")


if __name__ == "__main__":
    sys.exit(main())
