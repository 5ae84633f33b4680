"""One step of due work: by one worker, from where the last one stopped, however it ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from dashboard.errors import DashboardError
from dashboard.jobs.models import Job
from dashboard.jobs.run import LEASE, MAX_BACKOFF, Work, holder, hurry, let_go, run_due, run_to_end
from dashboard.upstream import RateLimited
from tests.chats.helpers import at_once

HOUR = timedelta(hours=1)
Step = Callable[[Any], Any]
pytestmark = [pytest.mark.django_db, pytest.mark.postgres]


def work(step: Step, every: timedelta = HOUR) -> Work:
    return Work("the-work", every, step)


def due(**columns: Any) -> None:
    """Let time pass until the work is due (and let this be so of its row)."""
    Job.objects.update(next_run_at=timezone.now() - timedelta(seconds=1), **columns)


class Recording:
    """A step that notes its cursors and answers as told."""

    def __init__(self, *answers: Any) -> None:
        self.cursors: list[Any] = []
        self.answers = list(answers)

    def __call__(self, cursor: Any) -> Any:
        self.cursors.append(cursor)
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer


class TestOneWorker:
    """Schedule and cursor."""

    def test_new_work_is_due_at_once_and_then_after_its_pause(self) -> None:
        step = Recording()
        assert run_due(work(step)) is True
        assert run_due(work(step)) is False
        job = Job.objects.get()
        assert (job.runs, job.cursor, job.last_error, job.lease_until, job.lease_holder) == (1, None, "", None, "")
        assert job.last_started_at is not None
        assert job.last_finished_at is not None
        assert timedelta(minutes=59) < job.next_run_at - timezone.now() <= HOUR
        assert str(job) == "the-work"
        due()
        assert run_due(work(step)) is True
        assert step.cursors == [None, None]
        assert Job.objects.get().runs == 2

    def test_a_pass_of_several_steps_goes_on_at_once_from_its_cursor(self) -> None:
        step = Recording({"page": 1}, {"page": [2]}, None)
        assert [run_due(work(step)) for _ in range(4)] == [True, True, True, False]
        assert step.cursors == [None, {"page": 1}, {"page": [2]}]
        assert Job.objects.get().runs == 1

    def test_while_it_runs_the_row_says_who_and_until_when(self) -> None:
        seen: list[Job] = []
        run_due(work(lambda _: seen.append(Job.objects.get())))
        assert seen[0].lease_holder == holder()
        assert seen[0].lease_until is not None
        assert LEASE - timedelta(seconds=10) < seen[0].lease_until - timezone.now() <= LEASE

    def test_work_may_be_hurried(self) -> None:
        step = Recording()
        run_due(work(step))
        hurry("the-work")
        assert run_due(work(step)) is True

    def test_a_pass_on_demand_runs_to_its_end_whatever_the_schedule(self) -> None:
        step = Recording(1, 2, None)
        run_to_end(work(step))
        assert step.cursors == [None, 1, 2]
        assert not Job.objects.exists()


class TestErrors:
    """A failed step keeps its place and waits."""

    @pytest.mark.parametrize(
        ("every", "pause"),
        [
            (timedelta(minutes=2), timedelta(minutes=2)),
            (timedelta(seconds=1), timedelta(seconds=15)),
            (timedelta(days=1), MAX_BACKOFF),
        ],
    )
    def test_the_cursor_is_kept_and_the_next_try_comes_later(self, every: timedelta, pause: timedelta) -> None:
        step = Recording({"page": 1}, RateLimited("LlamaCloud answered 429"), {"page": 2}, None)
        job = work(step, every)
        assert [run_due(job) for _ in range(3)] == [True, True, False]
        row = Job.objects.get()
        assert row.cursor == {"page": 1}
        assert row.last_error == f"{RateLimited.sentence} (upstream_rate_limited) LlamaCloud answered 429"
        assert (row.lease_until, row.lease_holder, row.runs, row.last_finished_at) == (None, "", 0, None)
        assert pause - timedelta(seconds=10) < row.next_run_at - timezone.now() <= pause
        due()
        assert [run_due(job) for _ in range(2)] == [True, True]
        assert step.cursors == [None, {"page": 1}, {"page": 1}, {"page": 2}]
        assert (Job.objects.get().last_error, Job.objects.get().runs) == ("", 1)

    def test_a_broken_step_is_named_without_its_words_and_ends_nothing(self, caplog: pytest.LogCaptureFixture) -> None:
        assert run_due(work(Recording(KeyError("llx-secret")))) is True
        assert Job.objects.get().last_error == "KeyError"
        assert "the-work failed" in caplog.text

    def test_a_long_error_is_cut(self) -> None:
        run_due(work(Recording(DashboardError("x" * 5000))))
        assert len(Job.objects.get().last_error) == 2000


class TestLeases:
    """Workers that died, and workers that were only slow."""

    def test_work_somebody_holds_is_left_alone(self) -> None:
        run_due(work(Recording()))
        due(lease_until=timezone.now() + LEASE, lease_holder="other:1:1")
        assert run_due(work(Recording())) is False

    def test_the_lease_of_a_dead_worker_is_taken_over_with_its_cursor(self) -> None:
        step = Recording({"page": 1}, None)
        run_due(work(step))
        due(lease_until=timezone.now() - timedelta(seconds=1), lease_holder="dead:1:1")
        assert run_due(work(step)) is True
        assert step.cursors == [None, {"page": 1}]
        assert (Job.objects.get().lease_holder, Job.objects.get().runs) == ("", 1)

    @pytest.mark.parametrize("end", [{"page": 9}, None, RateLimited()], ids=["step", "pass", "failure"])
    def test_who_outlived_the_lease_does_not_undo_the_one_who_took_over(self, end: Any) -> None:
        def slow(_: Any) -> Any:
            Job.objects.update(lease_holder="other:1:1", cursor={"page": 5})
            if isinstance(end, Exception):
                raise end
            return end

        run_due(work(slow))
        job = Job.objects.get()
        assert (job.lease_holder, job.cursor, job.runs, job.last_error) == ("other:1:1", {"page": 5}, 0, "")
        assert job.lease_until is not None

    def test_a_worker_that_stops_gives_back_only_what_is_its_own(self) -> None:
        until = timezone.now() + LEASE
        process = holder().rpartition(":")[0]
        for name, who in [("mine", f"{process}:1"), ("other", f"{process}9:1"), ("far", "far:1:1")]:
            Job.objects.create(name=name, next_run_at=until, lease_until=until, lease_holder=who)
        let_go()
        assert set(Job.objects.filter(lease_until=None).values_list("name", flat=True)) == {"mine"}


@pytest.mark.django_db(transaction=True)
class TestManyWorkers:
    """Eight threads with connections of their own."""

    def test_due_work_is_done_once_however_many_look(self) -> None:
        runs: list[int] = []

        def step(_: Any) -> None:
            runs.append(threading.get_ident())
            time.sleep(0.3)

        outcomes = at_once(8, lambda: run_due(work(step)))
        assert sorted(map(str, outcomes)) == [*["False"] * 7, "True"]
        assert len(runs) == 1
        assert Job.objects.get().runs == 1

    def test_the_steps_of_a_pass_never_overlap_and_none_is_lost_or_done_twice(self) -> None:
        done: list[int] = []
        inside = threading.Lock()

        def step(cursor: Any) -> int | None:
            assert inside.acquire(blocking=False), "two at once"
            number = cursor or 0
            done.append(number)
            time.sleep(0.01)
            inside.release()
            return number + 1 if number < 9 else None

        def keep_running() -> None:
            while not Job.objects.filter(runs=1).exists():
                run_due(work(step))

        assert at_once(6, keep_running) == [None] * 6
        assert done == list(range(10))
