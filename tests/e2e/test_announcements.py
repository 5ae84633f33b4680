"""What people who do not see the page are told, politely and once."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.e2e.browser import NARROW, announced
from tests.e2e.conftest import Visit
from tests.e2e.houses import House
from tests.e2e.talk import brisk_home, open_session

__all__ = ["brisk_home"]
FULL = "10 of 10 chosen. That is the most a session can hold: untick one to choose another."


def tick(page: Page, count: int) -> None:
    boxes = page.locator("input[name=index_ids]")
    for position in range(count):
        boxes.nth(position).check()


def test_the_counter_is_seen_and_heard(visit: Visit, home: House) -> None:
    page = visit(home, "ada", "/sessions/new/")
    tick(page, 3)

    expect(page.get_by_text("3 of 10 chosen")).to_be_visible()
    announced(page, "3 of 10 chosen")
    expect(page.get_by_role("complementary", name="This session").get_by_role("listitem")).to_have_count(3)


def test_reaching_the_limit_is_explained_and_holds_the_others_back(visit: Visit, home: House) -> None:
    page = visit(home, "ada", "/sessions/new/")
    tick(page, 10)
    announced(page, FULL)
    rest = page.locator("input[name=index_ids]:not(:checked)")
    assert rest.count() >= 4
    assert all(box.is_disabled() for box in rest.all())

    page.locator("input[name=index_ids]:checked").first.uncheck()

    announced(page, "9 of 10 chosen")
    assert all(box.is_enabled() for box in rest.all())


def test_the_number_of_sources_left_by_a_search_is_heard(visit: Visit, home: House) -> None:
    page = visit(home, "ada", "/sessions/new/")
    page.get_by_label("Search names").fill("shelf")
    announced(page, "9 sources shown")
    page.get_by_label("Search names").fill("nothing like it")
    announced(page, "0 sources shown")

    expect(page.get_by_text("No source has these words")).to_be_visible()


def test_the_number_of_sessions_left_by_a_filter_is_heard(visit: Visit, home: House) -> None:
    page = visit(home, "ada", "/sessions/")
    page.get_by_label("Search titles").fill("roses")
    announced(page, "1 session shown")
    page.get_by_label("Search titles").fill("nothing like it")
    announced(page, "No session matches")


def test_a_copied_id_is_confirmed(visit: Visit, home: House) -> None:
    page = visit(home, "ada", home.path("locked"), permissions=["clipboard-read", "clipboard-write"])
    page.get_by_text("Details", exact=True).click()
    page.get_by_role("button", name="Copy session ID").click()

    announced(page, "Copied")
    assert page.evaluate("navigator.clipboard.readText()") == home.sessions["locked"]


def test_on_a_phone_the_reason_stands_below_the_boxes_that_are_held_back(visit: Visit, home: House) -> None:
    page = visit(home, "ada", "/sessions/new/", viewport={"width": NARROW, "height": 568})
    reason = page.get_by_text("10 of 10 chosen: untick one to choose another.")
    tick(page, 9)
    expect(reason).to_be_hidden()
    page.locator("input[name=index_ids]").nth(9).check()
    page.get_by_label("Search names").scroll_into_view_if_needed()

    expect(reason).to_be_in_viewport(ratio=1)
    assert page.evaluate("document.elementFromPoint(160, innerHeight - 75).className") == "picker-full"


def test_an_answer_that_broke_off_is_not_called_none(visit: Visit, brisk_home: House) -> None:
    """As the page stands when each has ended: with the words that came, and with none."""
    page = open_session(visit, brisk_home)
    for number, words, said in ((98, "So far", "The answer broke off"), (99, "", "The question was not answered")):
        page.evaluate(
            """([number, words]) => {
              const answer = Object.assign(document.createElement("div"), {
                id: `turn-${number}-answer`,
                textContent: words,
              });
              document.body.append(answer);
              const detail = { number: String(number), state: "failed" };
              document.dispatchEvent(new CustomEvent("corral:answered", { detail }));
            }""",
            [number, words],
        )
        announced(page, said)
