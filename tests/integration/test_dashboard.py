"""The dashboard as a browser asks for it, over real HTTP: who is let in, what pages say, and that they hear of changes."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest
import requests

from ellipsis_local.dashboard.pages import POLICY
from ellipsis_local.dashboard.routes import static_files, vendored
from ellipsis_local.server import Server

ACT = {"X-Ellipsis-Local": "1"}


class Browser(requests.Session):
    """What has the cookie of a server, and asks for its pages by their path."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.origin = server.url.removesuffix("/v3")
        entered = self.get(server.link().removeprefix(self.origin))
        assert entered.status_code == 200, entered.text

    def request(self, method, url, **more):
        return super().request(method, self.origin + url, timeout=20, **more)

    def post(self, url, data=None, json=None, **more):
        return super().post(url, data, json, **({"headers": ACT} | more))


@pytest.fixture
def browser(server: Server) -> Iterator[Browser]:
    with Browser(server) as made:
        yield made


def test_what_others_wrote_is_as_it_was_taken() -> None:
    own = {"app.js", "lesson.js", "app.css"}
    assert {one["file"] for one in vendored()} == set(static_files()) - own
    for one in vendored():
        assert hashlib.sha256(static_files()[one["file"]]).hexdigest() == one["sha256"], one["file"]
        assert one["licence"] and one["version"] and one["source"] and one["taken_from"]


def test_a_link_lets_one_browser_in_once(server: Server) -> None:
    link, origin = server.link(), server.url.removesuffix("/v3")
    assert requests.get(f"{origin}/ui/", timeout=20).status_code == 401
    with requests.Session() as first:
        answer = first.get(link, timeout=20)
        assert (answer.status_code, answer.url) == (200, f"{origin}/ui/")
        (cookie,) = answer.history[0].headers["set-cookie"].splitlines()
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie and str(server.port) in cookie
        other = first.post(f"{origin}/ui/link", headers=ACT, timeout=20).text
    again = requests.get(link, timeout=20)
    assert again.status_code == 401
    assert "works once" in again.text
    assert requests.get(other, timeout=20).status_code == 200


def test_a_page_names_no_other_host_and_runs_no_script_of_another(browser: Browser) -> None:
    page = browser.get("/ui/")
    assert page.headers["content-security-policy"] == POLICY
    assert page.headers["cache-control"] == "no-store"
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert all(one.startswith(("/ui/", "#", "data:,")) for one in loaded)
    assert not re.search(r"<script>|<style| style=| on[a-z]+=", page.text)
    for one in loaded:
        if "/static/" in one:
            assert browser.get(one).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        # A link in a notebook on another port.
        ("GET", "/ui/", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 200),
        # A script there, a frame, another site, the API.
        ("GET", "/ui/", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}, 403),
        ("GET", "/ui/", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, 403),
        ("GET", "/ui/", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 403),
        ("GET", "/v3/account", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 403),
        ("GET", "/ui/", {"Host": "evil.example"}, 421),
        ("POST", "/ui/computes/prune", {}, 401),
        ("POST", "/ui/computes/prune", ACT | {"Origin": "http://127.0.0.1:1"}, 403),
        ("POST", "/ui/computes/prune", ACT | {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 403),
        ("POST", "/ui/computes/prune", ACT, 200),
    ],
)  # fmt: skip
def test_who_is_let_in(browser: Browser, method: str, path: str, headers: dict[str, str], status: int) -> None:
    assert browser.request(method, path, headers=headers).status_code == status


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/ui/nowhere", 404, "there is no page /ui/nowhere"),
        ("/ui/events?of=7c9e6679-7425-40de-944b-e07fc1f90ae7", 404, "listComputes shows them"),
        ("/ui/?before=7c9e6679-7425-40de-944b-e07fc1f90ae7", 404, "no compute of yours"),
    ],
)
def test_errors_are_pages_in_words(browser: Browser, path: str, status: int, said: str) -> None:
    answer = browser.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert said in answer.text
    # A script of a page wants the words alone.
    assert "<" not in browser.get(path, headers={"HX-Request": "true"}).text


def test_a_home_that_a_newer_release_took_over(browser: Browser, server: Server) -> None:
    with server.emulator.database.transaction() as connection:
        connection.execute("PRAGMA user_version = 99")
    answer = browser.get("/ui/")
    assert answer.status_code == 507
    assert "was written by a newer ellipsis_local" in answer.text


def test_computes_are_listed_found_terminated_and_deleted(
    browser: Browser, server: Server, el: ModuleType, token: str, raster: dict[str, str], create: Callable[..., str]
) -> None:
    server.emulator.store.catalogue.rename(raster["pathId"], "<b>")
    first, second = create([raster], nodes=2), create([raster], nodes=1)
    page = browser.get("/ui/").text
    assert page.index(second) < page.index(first)
    assert "&lt;b&gt;" in page and "<b>" not in page
    assert "2 ready" in page
    assert second not in browser.get(f"/ui/?q={first}").text
    assert first not in browser.get("/ui/?status=stopped").text
    refused = browser.post(f"/ui/computes/{first}/delete", headers=ACT | {"HX-Request": "true"})
    assert refused.status_code == 409
    assert refused.text == f"compute {first} is available: terminate it, then it can be deleted"
    for compute_id in (first, second):
        browser.post(f"/ui/computes/{compute_id}/terminate")
        while el.compute.getComputeInfo(compute_id, token)["status"] != "stopped":
            time.sleep(0.01)
    assert browser.post(f"/ui/computes/{first}/delete").text == f"deleted {first}"
    assert browser.post("/ui/computes/prune").text == "deleted 1 compute"
    assert "No computes yet" in browser.get("/ui/").text


def test_a_page_hears_of_what_others_do(
    browser: Browser, server: Server, raster: dict[str, str], create: Callable[..., str]
) -> None:
    """The stream ends with the server, and after a break it tells at once what came meanwhile."""
    with browser.get("/ui/events?of=computes", stream=True) as stream:
        coming = stream.iter_lines(decode_unicode=True)
        assert next(coming) == "retry: 500"
        # By an emulator of its own, as in another process.
        create([raster])
        state = server.emulator.computes.records.state_of_all()
        assert "event: changed" in iter(coming)
        while next(coming) != f"id: {state}":
            pass
    with browser.get("/ui/events?of=computes", stream=True, headers={"Last-Event-ID": "former"}) as stream:
        coming = stream.iter_lines(decode_unicode=True)
        assert [next(coming), next(coming)] == ["event: changed", f"id: {state}"]
        ended = threading.Thread(target=server.stop)
        ended.start()
        assert "event: changed" not in [*coming]
        ended.join()
