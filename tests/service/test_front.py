"""What holds for every request: keys, limits, audit log, versions, problems, health, metrics."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import create_engine, select, text, update

from service import problems, versions
from service.app import create_app
from service.dispatcher import Dispatcher
from service.metrics import Metrics
from service.settings import Settings
from service.store import answers, requests, tokens
from service.store.models import Answer, AuditEntry, Lease
from service.store.session import Database
from service.store.tokens import Role
from tests.conftest import small_sweep
from tests.inline import InlineExecutor

SWEEPS = "/api/v1/sweeps"


def key(name: str) -> dict[str, str]:
    return {"Idempotency-Key": name}


def audited(database: Database) -> list[AuditEntry]:
    with database.read() as session:
        return list(session.scalars(select(AuditEntry).order_by(AuditEntry.id)))


def token(database: Database, role: Role = Role.submitter, **limits: int) -> dict[str, str]:
    with database.write() as session:
        _, secret = tokens.create(session, "Ada", role, **limits)
    return {"Authorization": f"Bearer {secret}"}


class TestKeys:
    def test_every_request_that_changes_something_takes_one(self, api: TestClient) -> None:
        """Catches: a new POST that forgets about keys."""
        for path, methods in api.get("/openapi.json").json()["paths"].items():
            for method in {"post", "patch", "put", "delete"} & methods.keys():
                named = {each["name"].lower() for each in methods[method].get("parameters", [])}
                assert "idempotency-key" in named, (method, path)

    def test_sent_again_the_first_answer_comes_again(self, api: TestClient) -> None:
        first = api.post(SWEEPS, json=small_sweep(), headers=key("a"))
        pause = f"{SWEEPS}/{first.json()['id']}/pause"
        assert api.post(pause, headers=key("b")).json()["state"] == "paused"
        api.post(f"{SWEEPS}/{first.json()['id']}/resume", headers=key("c"))
        again = api.post(SWEEPS, json=small_sweep(), headers=key("a"))
        assert again.json() == first.json()
        assert again.status_code == 201
        assert again.headers["location"] == first.headers["location"]
        assert again.headers["idempotent-replayed"] == "true"
        assert api.post(pause, headers=key("b")).json()["state"] == "paused"
        now = api.get(first.headers["location"]).json()
        assert now["state"] == "queued"  # the pause was not done a second time
        assert len(api.get(SWEEPS).json()["items"]) == 1

    def test_for_another_request_is_refused(self, api: TestClient) -> None:
        sweep_id = api.post(SWEEPS, json=small_sweep(), headers=key("a")).json()["id"]
        for path, body in ((SWEEPS, small_sweep(seeds=5)), (f"{SWEEPS}/{sweep_id}/clone", {})):
            refused = api.post(path, json=body, headers=key("a"))
            assert refused.status_code == 422
            assert "another request" in refused.json()["detail"]
        assert len(api.get(SWEEPS).json()["items"]) == 1

    def test_a_refusal_is_not_kept(self, api: TestClient) -> None:
        wrong = api.post(SWEEPS, json=small_sweep(seeds=0), headers=key("a"))
        assert wrong.status_code == 422
        assert api.post(SWEEPS, json=small_sweep(), headers=key("a")).status_code == 201

    def test_in_flight_is_refused_until_it_is_answered(
        self, api: TestClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sweep_id = api.post(SWEEPS, json=small_sweep()).json()["id"]
        pause, inside, go = requests.pause, threading.Event(), threading.Event()

        def slow(*arguments: Any) -> Any:
            inside.set()
            assert go.wait(30)
            return pause(*arguments)

        monkeypatch.setattr(requests, "pause", slow)
        found: list[Any] = []
        path = f"{SWEEPS}/{sweep_id}/pause"
        first = threading.Thread(target=lambda: found.append(api.post(path, headers=key("a"))))
        first.start()
        assert inside.wait(30)
        second = api.post(path, headers=key("a"))
        go.set()
        first.join(30)
        assert (second.status_code, found[0].status_code) == (409, 200)
        assert api.post(path, headers=key("a")).json() == found[0].json()

    def test_in_flight_in_another_process_is_refused_on_postgresql(
        self, api: TestClient, database: Database
    ) -> None:
        if database.is_sqlite:
            pytest.skip("SQLite has one writer: the second waits and gets the first one's answer")
        sweep_id = api.post(SWEEPS, json=small_sweep()).json()["id"]
        mine = answers.Key(0, "a", "")
        with database.write() as session:
            answers.once(session, mine, lambda _: answers.Made({}))
            assert api.post(f"{SWEEPS}/{sweep_id}/pause", headers=key("a")).status_code == 409

    def test_two_tokens_may_choose_the_same_one(self, api: TestClient, database: Database) -> None:
        first, second = token(database), token(database)
        one = api.post(SWEEPS, json=small_sweep(), headers=first | key("a"))
        two = api.post(SWEEPS, json=small_sweep(), headers=second | key("a"))
        assert one.json()["id"] != two.json()["id"]

    def test_is_forgotten_after_thirty_days(self, api: TestClient, database: Database) -> None:
        api.post(SWEEPS, json=small_sweep(), headers=key("old"))
        with database.write() as session:
            session.execute(update(Answer).values(created_at=Answer.created_at - 31 * 86_400))
        api.post(SWEEPS, json=small_sweep(), headers=key("new"))
        with database.write() as session:
            assert answers.any_old(session)
            answers.forget(session)
            assert list(session.scalars(select(Answer.key))) == ["new"]
            assert not answers.any_old(session)

    def test_a_bundle_taken_in_twice_is_one_sweep(
        self, api: TestClient, settings: Settings, database: Database, tmp_path: Path
    ) -> None:
        sweep_id = api.post(SWEEPS, json=small_sweep()).json()["id"]
        api.post(f"{SWEEPS}/{sweep_id}/cancel")
        bundle = api.get(f"{SWEEPS}/{sweep_id}/export?format=bundle").content
        with database.write() as session:
            session.execute(text("delete from sweeps"))
        headers = key("a") | {"Content-Type": "application/zip"}
        first = api.post("/api/v1/import", content=bundle, headers=headers)
        again = api.post("/api/v1/import", content=bundle, headers=headers)
        assert (first.status_code, again.status_code) == (201, 201)
        assert first.json() == again.json()


class TestLimits:
    def test_a_token_has_its_requests_a_minute(self, api: TestClient, database: Database) -> None:
        few, many = token(database, requests_per_minute=3), token(database)
        codes = [api.get(SWEEPS, headers=few).status_code for _ in range(4)]
        assert codes == [200, 200, 200, 429]
        refused = api.get(SWEEPS, headers=few)
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert refused.json()["type"] == "/errors#limit-reached"
        assert api.get(SWEEPS, headers=many).status_code == 200

    def test_a_token_has_its_size_of_a_sweep(self, api: TestClient, database: Database) -> None:
        small = token(database, max_sweep_trials=5)
        refused = api.post(SWEEPS, json=small_sweep(seeds=3), headers=small)
        assert refused.status_code == 422
        assert "6 trials; the limit for one sweep is 5" in refused.json()["detail"]
        sweep_id = api.post(SWEEPS, json=small_sweep(), headers=small).json()["id"]
        longer = api.post(f"{SWEEPS}/{sweep_id}/extend", json={"seeds": 3}, headers=small)
        assert longer.status_code == 422

    def test_a_token_has_its_room_in_the_queue(self, api: TestClient, database: Database) -> None:
        mine, other = token(database, max_queued_trials=7), token(database, Role.admin)
        with database.write() as session:
            session.execute(text("update tokens set name = 'Bob' where role = 'admin'"))
        sweep_id = api.post(SWEEPS, json=small_sweep(), headers=mine).json()["id"]
        refused = api.post(SWEEPS, json=small_sweep(), headers=mine)
        assert refused.status_code == 429
        assert (
            "Ada has 4 trials queued, and 4 more would exceed the limit of "
            in refused.json()["detail"]
        )
        assert "retry-after" not in refused.headers
        longer = api.post(f"{SWEEPS}/{sweep_id}/extend", json={"seeds": 4}, headers=mine)
        assert longer.status_code == 429
        assert api.post(SWEEPS, json=small_sweep(), headers=other).status_code == 201
        api.post(f"{SWEEPS}/{sweep_id}/cancel", headers=mine)
        assert api.post(SWEEPS, json=small_sweep(), headers=mine).status_code == 201

    def test_requests_at_once_do_not_pass_each_other_in_the_queue(
        self, api: TestClient, database: Database
    ) -> None:
        # Catches: each counts what was queued before any of them.
        mine = token(database, max_queued_trials=4)
        with ThreadPoolExecutor(6) as pool:
            answers = pool.map(
                lambda _: api.post(SWEEPS, json=small_sweep(), headers=mine).status_code, range(6)
            )
            assert sorted(answers) == [201, *[429] * 5]

    def test_a_retry_needs_room_in_the_queue(self, api: TestClient, database: Database) -> None:
        mine = token(database, max_queued_trials=4)
        path = api.post(SWEEPS, json=small_sweep(), headers=mine).headers["location"]
        api.post(f"{path}/cancel", headers=mine)
        other = api.post(SWEEPS, json=small_sweep(), headers=mine).headers["location"]
        trial = api.get(f"{path}/trials", headers=mine).json()["items"][0]["id"]
        for asked in (f"{path}/retry?cancelled=true", f"/api/v1/trials/{trial}/retry"):
            refused = api.post(asked, headers=mine)
            assert refused.status_code == 429
            assert "Ada has 4 trials queued, and " in refused.json()["detail"]
            assert " more would exceed the limit of 4" in refused.json()["detail"]
        assert api.get(path, headers=mine).json()["trials"]["cancelled"] == 4
        api.post(f"{other}/cancel", headers=mine)
        assert api.post(f"/api/v1/trials/{trial}/retry", headers=mine).status_code == 200
        again = api.post(f"{path}/retry?cancelled=true", headers=mine)
        assert again.json()["trials"]["queued"] == 4

    def test_a_sweep_of_a_billion_trials_is_refused_with_the_limit(self, api: TestClient) -> None:
        axes = {f"optimizer.{name}": [i / 1000 for i in range(1000)] for name in ("beta1", "beta2")}
        huge = small_sweep(grid=axes | {"optimizer.keep_prob": [i / 1000 for i in range(1000)]})
        refused = api.post(SWEEPS, json=huge)
        assert refused.status_code == 422
        assert "2000000000 trials; the limit for one sweep is 100000" in refused.json()["detail"]


class TestAudit:
    def test_every_change_is_noted_with_who_asked(
        self, api: TestClient, database: Database
    ) -> None:
        ada = token(database)
        first = api.post(SWEEPS, json=small_sweep(), headers=ada)
        path = first.headers["location"]
        api.patch(path, json={"priority": 3}, headers=ada)
        api.post(f"{path}/cancel", headers=ada)
        api.get(path, headers=ada)
        noted = [(each.name, each.action, each.target) for each in audited(database)]
        assert noted == [
            ("Ada", "POST", path), ("Ada", "PATCH", path), ("Ada", "POST", f"{path}/cancel"),
        ]  # fmt: skip
        assert {each.address for each in audited(database)} == {"testclient"}

    def test_what_was_refused_or_answered_before_is_not(
        self, api: TestClient, database: Database
    ) -> None:
        api.post(SWEEPS, json=small_sweep(seeds=0))
        api.post(f"{SWEEPS}/none/cancel")
        for _ in range(2):
            api.post(SWEEPS, json=small_sweep(), headers=key("a"))
        (entry,) = audited(database)
        assert entry.name == "this machine"


class TestVersions:
    @pytest.mark.parametrize("theirs", [versions.VERSION, "0.1", "0.1.99", "0.1.0.dev1+g12"])
    def test_a_client_of_this_series_is_served(self, api: TestClient, theirs: str) -> None:
        answer = api.get(SWEEPS, headers={versions.HEADER: theirs})
        assert answer.status_code == 200
        assert answer.headers[versions.HEADER] == versions.VERSION

    @pytest.mark.parametrize(
        ("theirs", "words"),
        [("0.0.9", "too old"), ("0.2.0", "newer than the service"), ("99.0", "upgrade the service"),
         ("one", "is a version such as"), ("", "is a version such as")],
    )  # fmt: skip
    def test_any_other_is_told_what_to_install(
        self, api: TestClient, theirs: str, words: str
    ) -> None:
        answer = api.get(SWEEPS, headers={versions.HEADER: theirs})
        assert answer.status_code == 400
        assert answer.json()["type"] == "/errors#client-version"
        assert words in answer.json()["detail"]
        assert answer.headers[versions.HEADER] == versions.VERSION


class TestProblems:
    def test_every_kind_is_documented(self, api: TestClient) -> None:
        page = api.get("/errors").text
        written = Path("docs/errors.md").read_text()
        for kind in problems.kinds():
            assert f"id='{kind.type}'" in page
            assert f"## {kind.status} {kind.title}" in written
            assert f"`/errors#{kind.type}`" in written
            assert problems.explanation(kind) in " ".join(written.split())
        assert len(re.findall(r"^## \d", written, re.MULTILINE)) == len(problems.kinds())

    def test_a_crash_says_nothing_but_its_number(
        self, api: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def crash(*_: Any) -> Any:
            raise RuntimeError("/secret/path select * from tokens")

        monkeypatch.setattr(requests, "pause", crash)
        sweep_id = api.post(SWEEPS, json=small_sweep()).json()["id"]
        answer = api.post(f"{SWEEPS}/{sweep_id}/pause")
        assert answer.status_code == 500
        assert answer.json()["type"] == "/errors#internal-error"
        assert "secret" not in answer.text
        assert answer.headers["x-request-id"] in answer.json()["detail"]
        assert answer.headers["x-request-id"] in caplog.text
        assert "secret" in caplog.text

    def test_a_wrong_method_says_which_are_right(self, api: TestClient) -> None:
        answer = api.put(SWEEPS, json={})
        assert answer.status_code == 405
        assert answer.json()["type"] == "/errors#method-not-allowed"
        assert answer.headers["allow"] == "GET, HEAD, POST"


def lead(settings: Settings, database: Database) -> Dispatcher:
    dispatcher = Dispatcher(database, InlineExecutor(settings.trials), lease_seconds=60)
    dispatcher.step(0)
    return dispatcher


class TestHealth:
    def test_ready_is_the_database_a_dispatcher_and_nodes(
        self, api: TestClient, settings: Settings, database: Database
    ) -> None:
        assert api.get("/healthz").status_code == 200
        before = api.get("/readyz")
        assert before.status_code == 503
        assert before.json()["dispatcher"] == "none leads"
        lead(settings, database)
        after = api.get("/readyz")
        assert (after.status_code, after.json()["ready"]) == (200, True)
        with database.write() as session:
            session.execute(update(Lease).values(cluster={"nodes": []}))
        assert api.get("/readyz").json()["ray"] == "has no node"

    def test_without_its_database_it_says_so(self, tmp_path: Path) -> None:
        gone = Database("postgresql://nobody@127.0.0.1:1/none")
        settings = Settings(storage_dir=tmp_path)
        app = create_app(settings, gone)
        api = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
        assert api.get("/healthz").status_code == 200
        answer = api.get("/readyz")
        assert (answer.status_code, answer.json()["database"]) == (503, "does not answer")
        assert api.get(SWEEPS).status_code == 503
        gone.close()

    def test_with_every_connection_in_use_it_says_so(
        self, idle_api: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Catches: 500, which a client does not try again, for what is over in a moment.
        few = create_engine(database.engine.url, pool_size=1, max_overflow=0, pool_timeout=0)
        monkeypatch.setattr(database, "engine", few)
        with few.connect():
            answer = idle_api.get(SWEEPS)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert answer.json()["type"] == "/errors#unavailable"
            assert "no connection" in answer.json()["detail"]
            assert idle_api.get("/readyz").json()["database"] == "does not answer"
            assert b"lrd_database_up 0.0" in Metrics(database).text()
        assert idle_api.get(SWEEPS).status_code == 200
        few.dispose()


class TestMetrics:
    def test_they_say_what_is_there(
        self, api: TestClient, settings: Settings, database: Database
    ) -> None:
        sweep_id = api.post(SWEEPS, json=small_sweep()).json()["id"]
        api.get(f"{SWEEPS}/{sweep_id}")
        api.get(f"{SWEEPS}/none")
        dispatcher = lead(settings, database)
        for _ in range(6):
            dispatcher.step(0)
        dispatcher._renew_at = 0
        dispatcher.step(0)
        text = api.get("/metrics").text
        found = {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        sweep = api.get(f"{SWEEPS}/{sweep_id}").json()
        for state, count in sweep["trials"].items():
            assert found["lrd_trials", state] == count
        assert found["lrd_dispatcher_up",] == found["lrd_database_up",] == 1
        assert found["lrd_cpus", "used"] + found["lrd_cpus", "free"] == 2
        reports = sum(
            len(api.get(f"/api/v1/trials/{each['id']}/reports").json()["items"])
            for each in api.get(f"{SWEEPS}/{sweep_id}/trials").json()["items"]
        )
        assert 0 < found["lrd_report_lag_seconds_count",] <= reports
        assert found["lrd_cpu_seconds_total",] > 0
        assert found["lrd_dispatch_latency_seconds_count",] >= 2
        one = ("200", "/api/v1/sweeps/{sweep_id}", "GET")
        assert found["lrd_http_requests_total", *sorted(one)] == 1
        assert sweep_id not in text

    def test_they_need_a_token_where_others_do(self, api: TestClient, database: Database) -> None:
        viewer = token(database, Role.viewer)
        assert api.get("/metrics").status_code == 401
        assert api.get("/metrics", headers=viewer).status_code == 200


def test_error_types_are_one_each() -> None:
    names = [kind.type for kind in problems.kinds()]
    assert len(set(names)) == len(names)
