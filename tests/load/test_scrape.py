"""A server's counters, looked at while a load is held, whatever the server does meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from latok.analysis.counters import counted
from latok.load.golden import NOT_FOUND, Asked, Golden, Step, response
from latok.load.probe import site
from latok.load.scrape import PAGES, metrics_path, read_pages, scraped
from tests.golden.servers import page

RUNNING = "vllm:num_requests_running 3.0\n"


@contextmanager
def serving(answer: Callable[[Asked], Step]) -> Iterator[str]:
    server = Golden(lambda asked: [answer(asked)])
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server.url
    finally:
        server.stop()
        thread.join()


def only(path: str, text: str) -> Callable[[Asked], Step]:
    return lambda asked: page(text) if asked.path == path else Step(0.0, NOT_FOUND)


def test_the_page_is_found_where_the_server_has_it() -> None:
    for path in ("/metrics", "/prometheus/metrics"):
        with serving(only(path, RUNNING)) as url:
            assert metrics_path(site(url)) == path


def test_a_page_of_strangers_or_of_json_is_none() -> None:
    for text in ("process_cpu_seconds_total 5\n", "", "<html>"):
        with serving(only("/metrics", text)) as url:
            assert metrics_path(site(url)) == ""
    with serving(lambda _: Step(0.0, response([{"gpu": 1}]))) as url:
        assert metrics_path(site(url)) == ""


def test_pages_are_kept_through_the_block_and_at_both_its_ends(tmp_path: Path) -> None:
    with serving(only("/metrics", RUNNING)) as url:
        before = time.time()
        with scraped(site(url), "/metrics", tmp_path):
            time.sleep(1.3)
        after = time.time()
    pages = read_pages(tmp_path)
    assert len(pages) == 3
    assert before <= pages[0].at < pages[-1].at <= after
    found = counted(pages, before, (0.0, after - before))
    assert found
    assert found.values == {"running": 3.0}


def test_a_server_that_fails_meanwhile_leaves_a_gap_and_no_error(tmp_path: Path) -> None:
    asked_for: list[Asked] = []

    def once(asked: Asked) -> Step:
        asked_for.append(asked)
        return page(RUNNING) if len(asked_for) == 1 else Step(0.0, b"", end="reset")

    with serving(once) as url, scraped(site(url), "/metrics", tmp_path):
        pass
    assert len(asked_for) > 1
    assert len(read_pages(tmp_path)) == 1


def test_nothing_is_kept_of_a_server_without_counters(tmp_path: Path) -> None:
    with scraped(site("http://127.0.0.1:1"), "", tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []
    assert read_pages(tmp_path) == []


def test_a_page_that_was_cut_by_a_crash_is_left_out(tmp_path: Path) -> None:
    with serving(only("/metrics", RUNNING)) as url, scraped(site(url), "/metrics", tmp_path):
        pass
    whole = (tmp_path / PAGES).read_bytes()
    (tmp_path / PAGES).write_bytes(whole[:-7])
    assert len(read_pages(tmp_path)) == whole.count(b"\n") - 1
