"""Questions asked and answers watched live, against a bare view that only passes the stream through.

``python benchmarks/live_turns.py [--rounds N] [--turns 1 50 200]``
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from list_page import milliseconds
from measure import interleaved, percentile, report
from servers import HERE, Corral, Servers, connected
from stub import TOKEN_SECONDS, TOKENS

ANSWER_SECONDS = TOKENS * TOKEN_SECONDS
WARM_UP = 2
"""Rounds that do not count: threads, connections and caches are made."""
SETTLED_SECONDS = 1.0
"""Pause after a round, so that what it left to do is not counted against the next."""
FIRST_TOKEN = {1: 10, 50: 20, 200: 60}
"""Targets: milliseconds added to the first token, by turns at once."""
END, CPU_RATIO, MEGABYTES, ELSEWHERE, PAGES = 150, 2.0, 0.5, 250, 2.0
LIVE, WATCHERS, CROWD = 20, 200, 50
"""Answers and their watchers when pages are measured; turns that are watched at another process."""
PAGES_ASKED = 40
CSRF = "c" * 32


@dataclass
class Round:
    """What one round of turns showed; times in milliseconds."""

    first: list[float]
    first_under_way: list[float]
    end: list[float]
    frames: list[float]
    cpu: float
    megabytes: float
    client_cpu: float
    resumed: int
    problems: list[str]


class Machine:
    """Processor time and memory of the processes behind a port, which are looked up when measuring begins."""

    def __init__(self, servers: Servers, port: int) -> None:
        self._servers, self._port = servers, port
        self._pids: list[int] = []
        self._peak = 0.0
        self._over = threading.Event()

    def cpu(self) -> float:
        """Seconds used so far, threads that have ended included."""
        return sum(time.clock_gettime(_cpu_clock(pid)) for pid in self._pids)

    def megabytes(self) -> float:
        """Memory in use now that is not shared with others."""
        return sum(_private(pid) for pid in self._pids) / 1024

    def __enter__(self) -> Machine:
        self._pids = self._servers.pids(self._port)
        self._began_cpu, self._began_memory = self.cpu(), self.megabytes()
        self._peak = self._began_memory
        self._over.clear()
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._watcher.join()
        self.cpu_used = self.cpu() - self._began_cpu
        self.memory_grown = self._peak - self._began_memory

    def _watch(self) -> None:
        while not self._over.wait(0.5):
            self._peak = max(self._peak, self.megabytes())


def _cpu_clock(pid: int) -> int:
    """The clock of a process's CPU time, as clock_getcpuclockid(3) makes it on Linux: to the nanosecond, where
    ``/proc`` counts in hundredths of a second.
    """
    return ~pid << 3 | 2


def _private(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


class Bare:
    """The limit."""

    def __init__(self, port: int, index_ids: list[str]) -> None:
        self.port = port
        self._index_ids = index_ids

    def plan(self, turns: int, prompt: str) -> list[dict[str, Any]]:
        """Everybody asks, and reads the answer to it."""
        fields = [("session_id", "ses-1"), ("project_id", "prj-main"), ("prompt", prompt)]
        body = urlencode([*fields, *(("index_ids", pk) for pk in self._index_ids)])
        step = {"port": self.port, "request": request("POST", "/ask/", body=body)}
        return [{"at": at, "steps": [step], "end": '"type":"stop"'} for at in spread(turns)]


class Ours:
    """The dashboard; everybody asks again and again in a session of their own."""

    def __init__(self, corral: Corral, watched_at: int | None = None) -> None:
        self.port = corral.port
        self._askers = corral.filled["askers"]
        self.asked = [0] * len(self._askers)
        self._watched_at = watched_at or corral.port

    def plan(self, turns: int, prompt: str = "What was decided?") -> list[dict[str, Any]]:
        """Everybody sends the composer as htmx does, and then watches the answer as htmx does."""
        return [
            self._reader(at, [self._ask(number, prompt), self._watch(number)])
            for number, at in enumerate(spread(turns))
        ]

    def crowd(self, turns: int, watchers: int, tokens: int) -> list[dict[str, Any]]:
        """Long answers, each asked for by one and watched by more."""
        prompt = f"What was decided? Say it in {tokens} tokens."
        readers = []
        for number, at in enumerate(spread(turns)):
            readers.append(self._reader(at, [self._ask(number, prompt), self._watch(number)]))
            later = [ANSWER_SECONDS * (1 + place / watchers) for place in range(watchers // turns - 1)]
            readers += [self._reader(at, [self._watch(number)]) for at in later]
        return readers

    def _reader(self, at: float, steps: list[dict[str, Any]]) -> dict[str, Any]:
        return {"at": at, "steps": steps, "end": "event: turn-ended"}

    def _ask(self, number: int, prompt: str) -> dict[str, Any]:
        self.asked[number] += 1
        nonce = f"{number}-{self.asked[number]}-{time.monotonic_ns()}"
        body = urlencode({"csrfmiddlewaretoken": CSRF, "nonce": nonce, "prompt": prompt})
        path, headers = self._as(number)
        return {"port": self.port, "request": request("POST", path, headers, body)}

    def _watch(self, number: int) -> dict[str, Any]:
        path, headers = self._as(number)
        asked = request("GET", f"{path}{self.asked[number]}/events/", headers | {"Accept": "text/event-stream"})
        return {"port": self._watched_at, "request": asked}

    def _as(self, number: int) -> tuple[str, dict[str, str]]:
        """Where somebody asks, and what their browser sends along."""
        asker = self._askers[number]
        cookie = f"corral_session={asker['cookie']}; corral_csrf={CSRF}"
        return f"/sessions/{asker['session_id']}/turns/", {"Cookie": cookie, "HX-Request": "true"}


def spread(turns: int) -> list[float]:
    """When each begins: evenly over one answer, so that all of them run when the last one has begun."""
    return [number * ANSWER_SECONDS / turns for number in range(turns)]


def request(method: str, path: str, headers: dict[str, str] | None = None, body: str = "") -> str:
    """The bytes a browser sends, as text."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    if body:
        lines += ["Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", body])


@contextmanager
def loose(plan: list[dict[str, Any]]) -> Iterator[subprocess.Popen[str]]:
    """The readers of a plan, on their way."""
    command = [sys.executable, str(HERE / "load.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as readers:
        assert readers.stdin is not None
        readers.stdin.write(json.dumps(plan))
        readers.stdin.close()
        readers.stdin = None
        yield readers


def play(plan: list[dict[str, Any]], machine: Machine) -> Round:
    """Let the readers of a plan loose and collect what they saw."""
    with machine, loose(plan) as readers:
        told = json.loads(readers.communicate()[0])
    time.sleep(SETTLED_SECONDS)
    everybody = told["readers"]
    well = [reader for reader in everybody if reader["first"] and reader["finished"] and not reader["problem"]]
    return Round(
        first=[1000 * (reader["first"] - reader["began"]) for reader in well],
        first_under_way=[1000 * (reader["first"] - reader["first_sent"]) for reader in well],
        end=[1000 * (reader["finished"] - reader["last_sent"]) for reader in well],
        frames=[1000 * seconds for reader in well for seconds in reader["under_way"]],
        cpu=1000 * machine.cpu_used / len(plan),
        megabytes=machine.memory_grown / len(plan),
        client_cpu=1000 * told["cpu"] / len(plan),
        resumed=sum(reader["resumed"] for reader in everybody),
        problems=[reader["problem"] or "no token" for reader in everybody if reader["problem"] or not reader["first"]],
    )


def compare(ours: Ours, bare: Bare, servers: Servers, stub: int, turns: int, rounds: int, thinks: int) -> None:
    """So many turns at once on both, in turns; print what was added.

    Args:
        ours, bare: what is compared.
        servers, stub: where their upstream runs.
        turns: how many at once.
        rounds: how often.
        thinks: milliseconds from the question to the first token.
    """
    prompt = f"What was decided? Say it after {thinks} ms."
    machines = {site: Machine(servers, site.port) for site in (ours, bare)}
    upstream = Machine(servers, stub)
    played: dict[Any, list[Round]] = {ours: [], bare: []}

    def play_on(site: Ours | Bare) -> float:
        played[site].append(play(site.plan(turns, prompt), machines[site]))
        return 0

    with upstream:
        interleaved(lambda: play_on(ours), lambda: play_on(bare), rounds=rounds, warm_up=WARM_UP)
    a, b = (played[site][WARM_UP:] for site in (ours, bare))
    many = f"{turns} turn{'s' if turns > 1 else ''} at once"
    print(f"\n{many}, first token after {thinks} ms, {rounds} rounds, load {load()}")
    tell_problems([*played[ours], *played[bare]])
    added("first token", gather(a, "first"), gather(b, "first"), at_most=FIRST_TOKEN.get(turns))
    added("  once LlamaCloud sent it", gather(a, "first_under_way"), gather(b, "first_under_way"))
    added("end", gather(a, "end"), gather(b, "end"), at_most=END)
    added("newest token of a frame", gather(a, "frames"), gather(b, "frames"))
    cpu = [statistics.median(one.cpu for one in side) for side in (a, b)]
    times = cpu[0] / cpu[1]
    print(f"  {'CPU an answer':<26} {times:8.2f}x   {cpu[0]:.1f} : {cpu[1]:.1f} ms{verdict(times, CPU_RATIO)}")
    memory = [statistics.median(one.megabytes for one in side) for side in (a, b)]
    print(f"  {'memory a live turn':<26} {memory[0]:8.2f} MB  (bare {memory[1]:.2f}){verdict(memory[0], MEGABYTES)}")
    sides = " : ".join(f"{statistics.median(one.client_cpu for one in side):.1f}" for side in (a, b))
    total = upstream.cpu_used * 1000 / (turns * 2 * (rounds + WARM_UP))
    print(f"  not counted, ms of CPU an answer: the readers {sides}, what stands for LlamaCloud {total:.1f}")


def elsewhere(ours: Ours, machine: Machine, rounds: int) -> None:
    """Asked of one process, watched at another one over the same database."""
    played = [play(ours.plan(CROWD), machine) for _ in range(rounds + 1)]
    frames = gather(played[1:], "frames")
    print(f"\n{CROWD} turns asked of one process and watched at another, {rounds} rounds, load {load()}")
    tell_problems(played)
    late = statistics.median(frames)
    tenth = percentile(frames, 0.9)
    print(f"  {'newest token of a frame':<26} {late:8.1f} ms (p90 {tenth:.1f}){verdict(late, ELSEWHERE)}")


def pages(corral: Corral, ours: Ours) -> None:
    """What an ordinary page takes while one process serves many watchers of live answers."""
    with connected(corral.port) as connection:

        def page_times() -> list[float]:
            times = []
            for _ in range(PAGES_ASKED):
                times.append(milliseconds(connection, corral, "/sessions/"))
                time.sleep(0.1)
            return times

        page_times()
        idle = page_times()
        seconds = 4 * ANSWER_SECONDS + PAGES_ASKED * 0.3
        with loose(ours.crowd(LIVE, WATCHERS, int(seconds / TOKEN_SECONDS))) as readers:
            time.sleep(2.5 * ANSWER_SECONDS)
            busy = page_times()
            told = json.loads(readers.communicate()[0])
        idle += page_times()
    problems = [reader["problem"] for reader in told["readers"] if reader["problem"]]
    print(f"\nThe list of sessions, {WATCHERS} watching {LIVE} answers : nobody, one process, load {load()}")
    report("  page", busy, idle, unit="ms", at_most=PAGES)
    print(f"  errors: {len(problems)}{' ' + repr(problems[0]) if problems else ''}", flush=True)


def load() -> str:
    """How busy the machine is, with everything on it."""
    return f"{os.getloadavg()[0]:.0f}"


def tell_problems(rounds: list[Round]) -> None:
    """Print what went wrong, and how often a stream was taken up again."""
    problems = [problem for one in rounds for problem in one.problems]
    resumed = sum(one.resumed for one in rounds)
    print(f"  errors: {len(problems)}{' ' + repr(problems[0]) if problems else ''}; streams resumed: {resumed}")


def gather(rounds: list[Round], name: str) -> list[float]:
    """One figure of all readers in all rounds."""
    return [value for one in rounds for value in getattr(one, name)]


def added(name: str, ours: list[float], theirs: list[float], *, at_most: float | None = None) -> None:
    """Print how much later the median of ours is."""
    if not ours or not theirs:
        print(f"  {name:<26} nothing was seen")
        return
    more = statistics.median(ours) - statistics.median(theirs)
    sides = " : ".join(f"{statistics.median(side):.1f} (p90 {percentile(side, 0.9):.1f})" for side in (ours, theirs))
    print(f"  {name:<26} {more:+8.1f} ms  {sides} ms{verdict(more, at_most) if at_most else ''}")


def verdict(value: float, at_most: float) -> str:
    """Whether a target is met, in words."""
    return f"  {'within' if value <= at_most else 'over'} the target of at most {at_most:g}"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--turns", type=int, nargs="*", default=[1, 50, 200])
    options.add_argument("--thinks", type=int, nargs="*", default=[0, 500], help="milliseconds to the first token")
    options.add_argument("--processes", type=int, default=2)
    options.add_argument("--only", choices=("turns", "elsewhere", "pages"))
    asked = options.parse_args()
    for part in (added_to_answers, with_one_process):
        with Servers() as servers:
            part(servers, asked)


def added_to_answers(servers: Servers, asked: argparse.Namespace) -> None:
    """What Corral adds to a pass-through."""
    if asked.only not in (None, "turns"):
        return
    stub, most = servers.stub(), max(asked.turns)
    corral = servers.corral("corral", sessions=1_000, upstream=stub, processes=asked.processes, askers=most)
    bare = Bare(servers.bare(upstream=stub, processes=asked.processes), corral.filled["index_ids"][:3])
    ours = Ours(corral)
    print(f"Live answers, Corral : bare pass-through, {asked.processes} processes each")
    for turns in asked.turns:
        for thinks in asked.thinks:
            compare(ours, bare, servers, stub, turns, asked.rounds * (3 if turns < 10 else 1), thinks)


def with_one_process(servers: Servers, asked: argparse.Namespace) -> None:
    """What a crowd does to ordinary pages, and how late a watcher at a second process is."""
    if asked.only == "turns":
        return
    corral = servers.corral("corral", sessions=1_000, upstream=servers.stub(), processes=1, askers=CROWD)
    ours = Ours(corral)
    if asked.only != "elsewhere":
        pages(corral, ours)
    if asked.only != "pages":
        there = Ours(corral, servers.another("corral"))
        there.asked = ours.asked
        elsewhere(there, Machine(servers, corral.port), asked.rounds)


if __name__ == "__main__":
    main()
