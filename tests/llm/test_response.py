"""Responses come in any pieces; what is whole, what is cut and what is none is never mixed up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmevo.llm.response import MOST_OF_FAILURE, MOST_OF_HEAD, Malformed, Response

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nX-Sum: 1\r\n\r\n"
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
UNTIL_END = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nhello"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n" + HINTS + PLAIN
EMPTY = b"HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n"


def fed(raw: bytes, cuts: list[int] | None = None, most: int = 1000) -> Response:
    response, begin = Response(most), 0
    for cut in [*sorted(cuts or []), len(raw)]:
        response.feed(raw[begin:cut])
        begin = cut
    return response


@given(st.sampled_from([PLAIN, CHUNKED, INTERIM, EMPTY, UNTIL_END]), st.lists(st.integers(0, 150), max_size=9))
def test_the_pieces_do_not_matter(raw: bytes, cuts: list[int]) -> None:
    response = fed(raw, [min(cut, len(raw)) for cut in cuts])
    assert response.body == (b"" if raw is EMPTY else b"hello")
    assert response.done == response.reusable == (raw is not UNTIL_END)
    assert response.status == (204 if raw is EMPTY else 200)
    assert response.end() and not response.reusable


@pytest.mark.parametrize("raw", [PLAIN, CHUNKED, INTERIM], ids=["length", "chunks", "interim"])
def test_what_is_cut_anywhere_is_not_whole(raw: bytes) -> None:
    for cut in range(len(raw)):
        response = fed(raw[:cut])
        assert not response.done and not response.end(), raw[:cut]
        assert response.status in (0, 200), raw[:cut]


@given(
    st.sampled_from([b"", HINTS, HINTS + HINTS]),
    st.binary(max_size=80) | st.sampled_from([PLAIN, CHUNKED]),
    st.binary(max_size=40),
    st.integers(0, 90),
)
def test_any_bytes_are_a_response_or_none(interim: bytes, head: bytes, more: bytes, at: int) -> None:
    raw = interim + head[:at] + more + head[at:]
    try:
        response = fed(raw, [len(interim), len(interim + head[:at])])
    except Malformed:
        return
    assert response.status == 0 or 200 <= response.status <= 999
    assert len(response.body) <= len(raw)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "begins with"),
        (b"HTTP/2 200\r\n\r\n", "begins with"),
        (b"HTTP/1.1 20 OK\r\n\r\n", "begins with"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\n\r\n", "another protocol"),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "header lines"),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n", "header lines"),
        (b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n", "header lines"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", "length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "transfer coding"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "chunk's length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", "longer than it says"),
        (HINTS + b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\n\r\n", "another protocol"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * MOST_OF_HEAD, "head is too long"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * MOST_OF_HEAD + b"\r\n\r\n", "head is too long"),
        (CHUNKS + b"1" * (MOST_OF_HEAD + 1), "lines is too long"),
        (CHUNKS + b"1;" + b"x" * MOST_OF_HEAD + b"\r\na\r\n", "lines is too long"),
        (CHUNKS + b"0\r\n" + b"A: b\r\n" * (MOST_OF_HEAD // 4 + 1), "trailers are too long"),
    ],
    ids=range(18),
)
def test_what_is_no_response_says_why(head: bytes, said: str) -> None:
    with pytest.raises(Malformed, match=said):
        fed(head)


def test_a_length_that_is_said_twice_and_equal_is_one() -> None:
    assert fed(PLAIN.replace(b"Content-Type: application/json", b"content-length: 5")).body == b"hello"


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close", False),
        (b"HTTP/1.1 200 OK\r\nConnection: Keep-Alive", True),
        (b"HTTP/1.0 200 OK", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive", True),
    ],
    ids=["close", "keep", "old", "old keep"],
)
def test_the_server_says_whether_the_connection_goes_on(line: bytes, kept: bool) -> None:
    assert fed(line + PLAIN.removeprefix(b"HTTP/1.1 200 OK")).reusable is kept


def test_what_comes_behind_a_response_spoils_the_connection() -> None:
    response = fed(PLAIN + b"HTTP/1.1 200 OK\r\n")
    assert response.body == b"hello" and response.done and not response.reusable


def test_two_lengths_spoil_the_connection() -> None:
    response = fed(CHUNKED.replace(b"Transfer", b"Content-Length: 3\r\nTransfer"))
    assert response.body == b"hello" and not response.reusable


def test_a_body_is_read_up_to_its_bound() -> None:
    flood = PLAIN.replace(b"Content-Length: 5", b"Content-Length: 900000").removesuffix(b"hello")
    response = Response(1000)
    response.feed(flood)
    for _ in range(11):
        assert not response.done or len(response.body) > 1000
        if not response.done:
            response.feed(b"x" * 100)
    assert response.done and not response.reusable and len(response.body) == 1100
    failure = Response(10**9)
    failure.feed(flood.replace(b"200 OK", b"500 No"))
    failure.feed(b"x" * (MOST_OF_FAILURE + 1))
    assert failure.done and not failure.reusable
