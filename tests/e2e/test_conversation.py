"""Asking: the composer, and what becomes of a question."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Route, expect

from tests.e2e.browser import NARROW, announced, axe
from tests.e2e.conftest import Visit
from tests.e2e.houses import House
from tests.e2e.talk import BOTH, HIDE, LONG, ask, begin, box, brisk_home, ended, hear, heard, open_session

HOSTILE = "<img src=x onerror=alert(1)></bdi><script>alert(2)</script> refund for a cancelled train {{ 7|add:7 }}"
__all__ = ["brisk_home"]
REFUSED = ("Failed to load resource",)


def test_an_empty_session_teaches_with_questions_that_fill_the_composer(visit: Visit, brisk_home: House) -> None:
    page = open_session(visit, brisk_home)
    expect(page.get_by_text("Ask a question in your own words.")).to_be_visible()
    expect(page.get_by_text("These sources lock with your first question.")).to_be_visible()
    page.get_by_role("link", name="What is in Garden notes?").click()

    expect(box(page)).to_have_value("What is in Garden notes?")
    expect(box(page)).to_be_focused()


def test_a_question_is_answered_and_locks_the_sources_without_a_reload(visit: Visit, brisk_home: House) -> None:
    page = open_session(visit, brisk_home)
    hear(page)
    page.evaluate("window.__sameDocument = true")
    turn = ask(page)
    expect(page.get_by_role("region", name="Sources").get_by_text("Locked", exact=True)).to_be_visible()
    expect(page.get_by_text("These sources lock with your first question.")).to_be_hidden()
    expect(box(page)).to_have_value("")
    expect(box(page)).to_be_focused()
    expect(turn.get_by_role("button", name="Stop")).to_be_visible()
    ended(turn)

    expect(turn.get_by_text("Read for this answer")).to_be_visible()
    expect(turn.get_by_role("listitem").filter(has_text="trains.md").first).to_be_visible()
    expect(turn.get_by_role("button", name="Stop")).to_have_count(0)
    expect(page.get_by_role("region", name="Last run").get_by_text("Worked")).to_be_visible()
    page.wait_for_timeout(1500)
    assert heard(page, "Answer ready") == 1
    assert page.evaluate("window.__sameDocument")


def test_what_was_seen_growing_is_what_a_reload_shows(visit: Visit, brisk_home: House) -> None:
    page = open_session(visit, brisk_home)
    turn = ask(page)
    ended(turn)
    grown = page.locator("#turn-1-answer").inner_html()
    page.reload()

    assert (
        re.sub(r"\s+", " ", page.locator("#turn-1-answer").inner_html()).strip() == re.sub(r"\s+", " ", grown).strip()
    )


def test_shift_and_enter_makes_a_line_and_writing_signs_sends_nothing(visit: Visit, brisk_home: House) -> None:
    page = open_session(visit, brisk_home)
    box(page).fill("One")
    box(page).press("Shift+Enter")
    box(page).press_sequentially("Two")
    assert box(page).input_value() == "One\nTwo"
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)

    box(page).evaluate(
        """area => area.dispatchEvent(
          new KeyboardEvent("keydown", {key: "Enter", isComposing: true, bubbles: true, cancelable: true})
        )"""
    )
    page.wait_for_timeout(500)
    assert not sent
    box(page).press("Enter")
    expect(page.get_by_role("article")).to_have_count(1)
    assert len(sent) == 1


def test_the_length_is_counted_in_characters_and_told_before_the_limit(visit: Visit, brisk_home: House) -> None:
    page = open_session(visit, brisk_home)
    count = page.locator("#prompt-count")
    box(page).fill("😀" * 799)
    expect(count).to_be_empty()
    box(page).fill("😀" * 810)
    expect(count).to_have_text("190 characters left")
    announced(page, "190 characters left")

    box(page).fill("😀" * 1001)
    expect(count).to_have_text("1 character too many")
    box(page).press("Enter")
    expect(page.get_by_role("article")).to_have_count(0)
    box(page).fill("😀" * 1000)
    expect(count).to_have_text("0 characters left")
    assert ask(page, "😀" * 1000).is_visible()


def test_a_draft_survives_a_reload_and_goes_when_the_question_is_taken(visit: Visit, brisk_home: House) -> None:
    page = open_session(visit, brisk_home)
    box(page).fill("Half a question")
    page.reload()
    expect(box(page)).to_have_value("Half a question")

    ended(ask(page, "When are roses pruned?"))
    page.reload()
    expect(box(page)).to_have_value("")


def test_what_is_typed_while_a_question_is_on_its_way_is_the_next_draft(visit: Visit, brisk_home: House) -> None:
    page = open_session(visit, brisk_home)
    held: list[Route] = []
    page.route("**/turns/", lambda route: held.append(route))
    box(page).fill(LONG)
    box(page).press("Enter")
    expect(page.get_by_role("button", name="Asking…")).to_be_visible()
    box(page).press("End")
    box(page).press_sequentially(" And then?")
    held[0].continue_()
    page.locator("#turn-1").wait_for()

    expect(box(page)).to_have_value(f"{LONG} And then?")
    expect(box(page)).to_be_focused()
    page.reload()
    expect(box(page)).to_have_value(f"{LONG} And then?")


def test_a_second_question_meanwhile_is_kept_and_leads_to_the_running_answer(visit: Visit, home: House) -> None:
    page = open_session(visit, home, expect=REFUSED)
    ask(page)
    box(page).fill("And how hot is the oven?")
    box(page).press("Enter")

    expect(page.get_by_role("alert")).to_contain_text("still answering another question")
    expect(box(page)).to_have_value("And how hot is the oven?")
    expect(page.get_by_role("article")).to_have_count(1)


def test_the_running_answer_is_seen_also_from_a_tab_that_does_not_have_it(visit: Visit, home: House) -> None:
    first = open_session(visit, home)
    other = visit(home, "ada", urlsplit(first.url).path, expect=REFUSED)
    ask(first)
    box(other).fill("And how hot is the oven?")
    box(other).press("Enter")
    other.get_by_role("link", name="See the running answer").click()

    expect(other.get_by_role("article")).to_have_count(1)
    expect(other.locator("#turn-1")).to_be_in_viewport()
    expect(other.locator("#turn-1")).to_be_focused()
    expect(box(other)).to_have_value("And how hot is the oven?")


def test_a_question_that_does_not_get_through_stays_and_is_asked_once(visit: Visit, brisk_home: House) -> None:
    page = open_session(visit, brisk_home, expect=(*REFUSED, "htmx:error"))
    page.route("**/turns/", lambda route: route.abort())
    box(page).fill(LONG)
    box(page).press("Enter")
    announced(page, "Corral did not answer. Your question is kept: try again in a moment.")
    expect(box(page)).to_have_value(LONG)
    expect(page.get_by_role("button", name="Ask", exact=True)).not_to_have_attribute("aria-disabled", "true")
    page.unroute("**/turns/")
    box(page).press("Enter")
    page.locator("#turn-1").wait_for()
    page.reload()

    expect(page.get_by_role("article")).to_have_count(1)


def test_the_button_says_what_it_does_and_takes_no_second_press(visit: Visit, brisk_home: House) -> None:
    page = open_session(visit, brisk_home)
    sent = []

    def hold(route: object) -> None:
        sent.append(route)

    page.route("**/turns/", hold)
    box(page).fill(LONG)
    for _ in range(3):
        box(page).press("Enter")
    expect(page.get_by_role("button", name="Asking…")).to_have_attribute("aria-disabled", "true")
    page.wait_for_timeout(300)

    assert len(sent) == 1


def test_sources_are_chosen_with_each_question_and_remembered(visit: Visit, home: House) -> None:
    page = visit(home, "ada", "")
    begin(page)
    box(page).fill(LONG)
    box(page).press("Enter")
    expect(page.get_by_role("article")).to_have_count(0)
    page.get_by_label("Search sources").fill("travel")
    page.get_by_role("checkbox", name="Travel policy").check()
    expect(page.get_by_text("Sources for this question: Travel policy")).to_be_visible()
    announced(page, "1 of 10 chosen")
    turn = ask(page)
    expect(page.get_by_label("Search sources")).to_be_hidden()
    ended(turn)

    expect(page.get_by_text("Sources for this question: Travel policy")).to_be_visible()
    expect(turn.get_by_text("Searched 1 source")).to_be_visible()


def test_a_question_goes_along_into_a_new_session(visit: Visit, brisk_home: House) -> None:
    page = open_session(visit, brisk_home)
    session_id = page.url.rstrip("/").rpartition("/")[2]
    ended(ask(page, "How late may I be?"))
    page.goto(f"/sessions/new/?from={session_id}&question=1")
    expect(page.get_by_text("Your question is kept")).to_contain_text("How late may I be?")
    page.get_by_role("button", name="Create session").click()
    page.wait_for_url(re.compile(r"/sessions/ses-\w+/$"))

    expect(box(page)).to_have_value("How late may I be?")
    page.reload()
    expect(box(page)).to_have_value("How late may I be?")


def test_a_question_to_a_session_deleted_meanwhile_leads_into_a_new_one(visit: Visit, brisk_home: House) -> None:
    page = open_session(visit, brisk_home, expect=REFUSED)
    other = page.context.new_page()
    other.goto(f"{urlsplit(page.url).path}delete/")
    other.get_by_role("button", name="Delete session").click()
    other.get_by_text("The session was deleted.").wait_for()

    box(page).fill("How late may I be?")
    box(page).press("Enter")

    expect(page.get_by_role("alert")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Your question is kept")).to_contain_text("How late may I be?")


def test_hostile_text_is_text_wherever_a_question_shows_it(visit: Visit, brisk_home: House) -> None:
    page = open_session(visit, brisk_home, viewport={"width": NARROW, "height": 700})
    turn = ask(page, HOSTILE)
    ended(turn)
    page.locator("#turn-1-steps-line").click()
    turn.locator(".step").first.wait_for()
    turn.locator(".step summary").first.click()

    assert HOSTILE in turn.locator(".asked-words").inner_text()
    assert "onerror" in turn.locator(".step dl").first.inner_text()
    assert page.locator("main :is(script, img)").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW


def test_a_live_answer_and_what_it_ends_with_are_accessible(visit: Visit, home: House) -> None:
    page = open_session(visit, home)
    turn = ask(page)
    turn.locator(".step").first.wait_for(state="attached")
    assert axe(page) == {}
    ended(turn)
    page.locator("#turn-1-steps-line").click()
    turn.locator(".step summary").first.click()

    assert axe(page) == {}


def test_an_empty_and_an_unbound_session_are_accessible(visit: Visit, home: House) -> None:
    page = open_session(visit, home)
    assert axe(page) == {}
    begin(page)
    assert axe(page) == {}


def test_an_answer_is_read_at_seventy_two_characters_a_line(visit: Visit, brisk_home: House) -> None:
    page = open_session(visit, brisk_home)
    ended(ask(page))
    width = page.locator("#turn-1-answer").evaluate(
        """answer => {
          const ruler = document.createElement("canvas").getContext("2d");
          ruler.font = getComputedStyle(answer).font;
          const sample = answer.textContent.replace(/\\s+/g, " ");
          return answer.clientWidth / (ruler.measureText(sample).width / sample.length);
        }"""
    )

    assert 50 < width <= 75, "on average; a line breaks before its last word"


def test_paper_holds_question_answer_and_sources_only(visit: Visit, brisk_home: House) -> None:
    page = open_session(visit, brisk_home)
    turn = ask(page)
    ended(turn)
    page.emulate_media(media="print")

    expect(turn.locator(".asked-words")).to_be_visible()
    expect(turn.get_by_text("Read for this answer")).to_be_visible()
    expect(box(page)).to_be_hidden()
    expect(page.get_by_role("button")).to_have_count(0)


def test_without_scripts_one_asks_leaves_comes_back_and_reads(visit: Visit, brisk_home: House) -> None:
    page = open_session(visit, brisk_home, java_script_enabled=False)
    address = page.url
    box(page).fill(LONG)
    page.get_by_role("button", name="Ask", exact=True).click()
    assert page.url.endswith("/turns/1/")
    assert "shows every few seconds how far it is" in page.locator(".turn-actions noscript").inner_text()
    # It asks again by itself until it is the whole answer.
    assert page.locator("#turn-1").get_attribute("data-state") != "answered"
    ended(page.locator("#turn-1"))
    page.get_by_role("link", name="Back to the session").click()
    box(page).fill(LONG)
    page.get_by_role("button", name="Ask", exact=True).click()
    page.goto("/sessions/")
    page.goto(address)
    assert page.locator("#turn-2").get_attribute("data-state") != "answered"
    assert page.locator("meta[http-equiv=refresh]").count() == 0, "a draft would be lost"
    page.get_by_role("link", name="See it grow").click()
    assert page.url == f"{address}turns/2/"
    ended(page.locator("#turn-2"))
    page.get_by_role("link", name="Back to the session").click()

    expect(page.locator("#turn-1-answer")).to_contain_text("trains.md")
    assert page.locator("meta[http-equiv=refresh]").count() == 0
    page.locator("#turn-1-steps-line").click()
    page.get_by_role("link", name="Show the steps").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Steps")
    assert page.locator(".step").count() >= 2


def test_an_answer_that_came_while_away_is_told_in_the_title_once(visit: Visit, home: House) -> None:
    page = open_session(visit, home)
    turn = ask(page)
    hear(page)
    page.evaluate(HIDE, True)
    page.wait_for_function("() => document.title.startsWith('● Answer ready · ')", timeout=60_000)
    page.evaluate(HIDE, False)
    ended(turn)
    page.wait_for_timeout(1500)

    assert "Answer ready" not in page.title()
    assert heard(page, "Answer ready") == 1
    assert BOTH[0] in page.get_by_role("region", name="Sources").inner_text()


def test_the_browser_tells_who_asked_for_it_and_is_elsewhere(
    whole_chromium: Browser, visit: Visit, brisk_home: House
) -> None:
    page = open_session(visit, brisk_home, browser=whole_chromium, permissions=["notifications"])
    page.evaluate(
        """() => {
          window.__told = [];
          window.Notification = class extends window.Notification {
            constructor(title, options) { super(title, options); window.__told.push(title); }
          };
        }"""
    )
    wish = page.get_by_role("checkbox", name="Notify me when answers are ready")
    expect(wish).not_to_be_checked()
    wish.check()
    page.evaluate("Object.defineProperty(document, 'hasFocus', {value: () => false})")
    ended(ask(page))

    page.wait_for_function("() => window.__told.length === 1")
    assert page.evaluate("window.__told") == ["Answer ready"]
    page.reload()
    expect(wish).to_be_checked()
