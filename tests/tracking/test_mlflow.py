"""MLflow with a database in a file, and servers that are not there, refuse or hang. The package is an extra."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from drilldown.tracking import mirror as module
from drilldown.tracking.mirror import Mirror, Request
from support.trackers import wait_for_notice

mlflow = pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
pytestmark = pytest.mark.filterwarnings("default")  # of a package that is an extra


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An empty database: MLflow needs seconds to create one."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"
    mlflow.MlflowClient(uri).search_experiments()
    return uri


@pytest.fixture
def client(database: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of the database; what is mirrored goes to an MLflow experiment with the name of the test."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.name)
    yield mlflow.MlflowClient(database)
    mlflow.set_tracking_uri(None)


def runs_in(client: Any, name: str) -> list[Any]:
    return list(client.search_runs([client.get_experiment_by_name(name).experiment_id]))


def mirrored() -> Any:
    from drilldown.tracking.process import Mirrored

    return Mirrored("mlflow")


def steps(client: Any, run: Any, metric: str = "accuracy/test") -> list[int]:
    return [point.step for point in client.get_metric_history(run.info.run_id, metric)]


def test_a_run_has_settings_epochs_figures_and_the_verdict(
    client: Any, run_dir: Path, request: pytest.FixtureRequest
) -> None:
    tracker = mirrored()
    assert tracker.answer(run_dir, 2)["place"].startswith("mirrored to sqlite://")
    assert tracker.answer(run_dir, None) == {"place": None, "failure": None}
    (run,) = runs_in(client, request.node.name)
    assert run.info.status == "FINISHED"
    assert steps(client, run) == [1, 2, 3]
    assert run.data.params["recipe.optimizer.lr"] == "0.1"
    assert run.data.params["network.layers"].splitlines()[1] == "maxpool 4"
    assert run.data.tags["verdict.budget"] == "met"
    assert run.data.metrics["final/budget_met"] == 1


def test_a_resumed_run_continues_without_double_points(
    client: Any, running_dir: Path, request: pytest.FixtureRequest
) -> None:
    first = mirrored()
    first.answer(running_dir, 2)
    first.close()
    assert [run.info.status for run in runs_in(client, request.node.name)] == ["KILLED"]
    second = mirrored()
    assert second.answer(running_dir, 3)["failure"] is None
    (run,) = runs_in(client, request.node.name)
    assert run.info.status == "RUNNING"
    assert steps(client, run) == steps(client, run, "lr") == [1, 2, 3]


def test_a_finished_run_is_mirrored_only_once(client: Any, run_dir: Path, request: pytest.FixtureRequest) -> None:
    for _ in range(2):
        assert mirrored().answer(run_dir, None)["failure"] is None
    (run,) = runs_in(client, request.node.name)
    assert steps(client, run) == [1, 2, 3]
    assert steps(client, run, "final/seconds") == [3]


def test_a_diverged_run_has_failed(client: Any, diverged: Path, request: pytest.FixtureRequest) -> None:
    assert mirrored().answer(diverged, None)["failure"] is None
    (run,) = runs_in(client, request.node.name)
    assert run.info.status == "FAILED"
    assert run.data.tags["verdict.budget"].startswith("diverged: ")


def test_a_server_that_is_not_there_gives_one_notice(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{free.getsockname()[1]}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    mirror = Mirror("mlflow")
    mirror.look(Request(run_dir, 1))
    notice = wait_for_notice(mirror)
    assert notice.startswith("MLflow: fails: ")
    assert "secret" not in notice
    mirror.look(Request(run_dir, None))
    mirror.close()
    assert mirror.take_notices() == []


def test_a_server_that_refuses_gives_one_notice(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class OutOfQuota(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(402, "out of quota")

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), OutOfQuota) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
        mirror = Mirror("mlflow")
        mirror.look(Request(run_dir, 1))
        assert "402" in wait_for_notice(mirror)
        mirror.close()
        server.shutdown()


def test_a_server_that_hangs_is_given_up(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 3.0)
    with socket.create_server(("127.0.0.1", 0)) as server:  # it accepts connections and never answers
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.getsockname()[1]}")
        mirror = Mirror("mlflow")
        mirror.look(Request(run_dir, None))
        connection, _ = server.accept()
        with connection:
            begun = time.monotonic()
            mirror.close()
            assert time.monotonic() - begun < 10
    (notice,) = mirror.take_notices()
    assert "does not answer and was given up" in notice
