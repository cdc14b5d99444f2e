"""Batches side by side: all of them are done, errors come through, and BLAS gets its threads back."""

from __future__ import annotations

import threading

import pytest
from threadpoolctl import threadpool_info

from llmevo.llm.embedded import parallel


def blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_every_batch_is_worked_on_once_and_blas_gets_its_threads_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "cores", lambda: 2)
    before, during, done = blas_threads(), [], []

    def work(i: int) -> None:
        during.append(blas_threads())
        done.append(i)

    parallel.side_by_side(work, range(9))
    assert sorted(done) == list(range(9))
    assert all(count == 1 for counts in during for count in counts) and blas_threads() == before


def test_an_error_comes_through_and_the_limit_is_lifted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "cores", lambda: 2)
    before = blas_threads()

    def work(i: int) -> None:
        if i == 3:
            raise ValueError("the fourth batch")

    with pytest.raises(ValueError, match="fourth"):
        parallel.side_by_side(work, range(5))
    assert blas_threads() == before


def test_callers_at_the_same_time_lift_the_limit_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "cores", lambda: 2)
    before = blas_threads()
    callers = [threading.Thread(target=parallel.side_by_side, args=(lambda i: None, range(20))) for _ in range(4)]
    for one in callers:
        one.start()
    for one in callers:
        one.join()
    assert blas_threads() == before


def test_one_batch_runs_where_it_is() -> None:
    where: list[str] = []
    parallel.side_by_side(lambda i: where.append(threading.current_thread().name), [1])
    assert where == [threading.current_thread().name]
