"""The door: who comes in, under which name, from which page, and what goes out on every answer."""

from collections.abc import Iterator

import pytest

from mechagym.config import Settings
from mechagym.web.access import Attempts, Hosts, Tokens, new_token, same_origin
from mechagym.web.guard import HEADERS, MAX_BODY_BYTES
from mechagym.web.problems import MEDIA_TYPE
from tests.web.conftest import PORT, READ, WRITE, Site, served

ORIGIN = f"http://127.0.0.1:{PORT}"
COOKIE = f"mechagym_{PORT}"


def routes(site: Site) -> Iterator[tuple[str, str]]:
    """Every route of the application, with names filled in."""
    document = site.get("/openapi.json")
    for path, operations in document["paths"].items():
        for method in operations:
            yield method.upper(), path.replace("{op_id}", "1").replace("{", "").replace("}", "")
    yield from (("GET", path) for path in ("/", "/jobs", "/api", "/api/v1/openapi.json"))


@pytest.mark.must("web-1")
def test_without_a_token_no_route_says_anything(site: Site):
    for method, path in routes(site):
        answer = site.stranger.request(method, path)
        assert answer.status_code in (401, 429), (method, path)
        assert answer.headers["content-type"] == MEDIA_TYPE
    assert site.stranger.get("/healthz").json() == {"status": "ok"}
    style = site.desk.assets.url("app.css")
    answer = site.stranger.get(style)
    assert answer.status_code == 200
    assert "immutable" in answer.headers["cache-control"]
    assert site.stranger.get("/static/app.css").status_code == 404


@pytest.mark.must("web-1")
def test_a_token_becomes_a_cookie_and_leaves_the_url(site: Site):
    answer = site.stranger.get(f"/jobs?token={WRITE}&text=a%26b&state=")
    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs?text=a%26b&state=")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}={WRITE};")
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    page = site.stranger.get(answer.headers["location"])  # the client keeps the cookie
    assert page.status_code == 200
    assert WRITE not in page.text
    evil = site.stranger.get(f"//evil.example/?token={WRITE}")
    assert not evil.headers.get("location", "/").startswith("//")


def test_wrong_tokens_are_refused_whatever_they_are(site: Site):
    for wrong in ("", "x", WRITE[:-1], WRITE + "x", WRITE.upper(), "ü" * 43, "\x7f"):
        header = [(b"authorization", b"Bearer " + wrong.encode("utf-8"))]
        assert site.stranger.get("/jobs", headers=header).status_code in (401, 429), wrong
    assert site.stranger.get("/jobs?token=nope").status_code in (401, 429)
    assert site.client.get("/jobs").status_code == 200


def test_the_eleventh_wrong_token_in_a_minute_is_too_many(site: Site):
    wrong = {"Authorization": "Bearer nope"}
    found = [site.stranger.get("/jobs", headers=wrong).status_code for _ in range(12)]
    assert found == [401] * 10 + [429] * 2
    assert site.stranger.get("/jobs").status_code == 401, "no token is no wrong one"
    assert site.client.get("/jobs").status_code == 200, "the right one opens all the same"


def test_wrong_ones_are_forgotten_after_a_minute():
    at = [0.0]
    attempts = Attempts(clock=lambda: at[0])
    assert [attempts.note("a") for _ in range(11)] == [False] * 10 + [True]
    assert attempts.note("b") is False
    at[0] = 61.0
    assert attempts.note("a") is False


def test_tokens_are_long_and_never_the_same():
    assert len({new_token() for _ in range(100)}) == 100
    assert len(new_token()) >= 43
    assert WRITE not in repr(Tokens(write=WRITE))


@pytest.mark.must("web-2")
@pytest.mark.parametrize(
    ("host", "status"),
    [
        (f"127.0.0.1:{PORT}", 200),
        (f"localhost:{PORT}", 200),
        (f"LOCALHOST:{PORT}", 200),
        (f"[::1]:{PORT}", 200),
        ("127.0.0.1", 421),
        ("localhost", 421),
        (f"127.0.0.1:{PORT + 1}", 421),
        (f"evil.example:{PORT}", 421),
        (f"127.0.0.1.evil.example:{PORT}", 421),
        (f"localhost.:{PORT}", 421),
        (f"0.0.0.0:{PORT}", 421),
        (f"127.1:{PORT}", 421),
        ("", 421),
    ],
)
def test_only_our_own_names_are_answered(site: Site, host: str, status: int):
    for path in ("/jobs", "/healthz", "/api/v1/jobs"):
        assert site.client.get(path, headers={"Host": host}).status_code == status


def test_a_name_that_was_allowed_is_answered():
    hosts = Hosts(port=PORT, allowed=("gym.example", "other.example:443"))
    assert all(map(hosts.knows, ("gym.example", f"GYM.example:{PORT}", "other.example:443")))
    assert not any(map(hosts.knows, ("gym.example:1", "other.example", "xgym.example")))


@pytest.mark.must("web-2")
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": ORIGIN}, 202),
        ({"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}, 202),
        ({}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": f"http://localhost:{PORT}"}, 403),
        ({"Origin": f"{ORIGIN}.evil.example"}, 403),
        ({"Origin": f"http://127.0.0.1:{PORT + 1}"}, 403),
        ({"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_with_a_cookie_only_pages_of_ours_may_write(
    site: Site, headers: dict[str, str], status: int
):
    site.stranger.cookies.set(COOKIE, WRITE)
    key = {"Idempotency-Key": "k"}
    answer = site.stranger.post("/api/v1/ops", json={"kind": "reap"}, headers=headers | key)
    assert answer.status_code == status, answer.text


def test_our_own_forms_come_with_an_origin(site: Site):
    """`no-referrer` would have browsers say `null`, which stands for anybody."""
    assert site.client.get("/jobs").headers["referrer-policy"] == "same-origin"


@pytest.mark.must("web-2")
def test_a_page_of_another_site_may_not_even_read(site: Site):
    site.stranger.cookies.set(COOKIE, WRITE)
    foreign = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert site.stranger.get("/api/v1/jobs", headers=foreign).status_code == 403
    assert site.client.get("/api/v1/jobs", headers=foreign).status_code == 403
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert site.stranger.get("/jobs", headers=followed).status_code == 200


def test_a_bearer_may_write_without_an_origin(site: Site):
    assert site.post("/ops", {"kind": "reap"}).status_code == 202
    assert same_origin("https://gym.example", "gym.example")


@pytest.mark.must("web-33")
@pytest.mark.parametrize("read_only_server", [True, False])
def test_who_may_only_read_has_no_way_to_write(settings: Settings, read_only_server: bool):
    with served(settings, read_only=read_only_server) as site:
        token = WRITE if read_only_server else READ
        site.client.headers["Authorization"] = f"Bearer {token}"
        for method, path in routes(site):
            for other in {method, "POST", "PUT", "PATCH", "DELETE"} - {"GET"}:
                answer = site.client.request(other, path, json={}, headers={"Origin": ORIGIN})
                assert (answer.status_code, answer.json()["code"]) == (403, "read_only")
        page = site.client.get("/jobs")
        assert page.status_code == 200
        assert "read only" in page.text
        assert 'method="post"' not in page.text
        assert site.get("/health")["ops"] == []


def test_every_answer_is_dressed(site: Site):
    for path in ("/jobs", "/api/v1/jobs", "/nope", "/healthz", f"/?token={WRITE}"):
        for client in (site.client, site.stranger):
            headers = client.get(path).headers
            for name, value in HEADERS.items():
                assert headers[name] == value, (path, name)
            assert "server" not in headers
    policy = HEADERS["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy


def test_a_body_of_more_than_a_megabyte_is_refused(site: Site):
    big = b'{"kind": "' + b"x" * MAX_BODY_BYTES + b'"}'
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    answer = site.client.post("/api/v1/ops", content=big, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")

    def in_parts() -> Iterator[bytes]:
        for start in range(0, len(big), 100_000):
            yield big[start : start + 100_000]

    answer = site.client.post("/api/v1/ops", content=in_parts(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_a_fault_of_ours_is_told_by_its_id_alone(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the inside of things")

    monkeypatch.setattr(type(site.store), "ask", broken)
    for path in ("/api/v1/jobs", "/jobs"):
        answer = site.client.get(path)
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (500, "failed")
        assert "inside" not in answer.text
        assert problem["error_id"] in caplog.text
    assert "the inside of things" in caplog.text


def test_websockets_are_not_spoken(site: Site):
    from starlette.websockets import WebSocketDisconnect

    with pytest.raises(WebSocketDisconnect), site.client.websocket_connect("/api/v1/stream"):
        pass
