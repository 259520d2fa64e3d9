"""The scripts of a pipeline, run as its jobs run them: against the fake of AWS, where the plan's
job may look and the others may deploy, and against the providers' APIs for comments."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from onnxferry.infra.cloud import bundle
from onnxferry.scripts.package import package
from tests.fakes.aws import AwsServer
from tests.fakes.aws.permissions import policy
from tests.infra.ci.pipelines import GIVEN, Runner, ci, document, repository, scripts
from tests.infra.sagemaker.conftest import deploy as deployed
from tests.infra.sagemaker.conftest import model
from tests.packages import bare
from tests.scripts import checkpoints

PROVIDER = pytest.mark.parametrize("provider", GIVEN)
TITLE = "squad-sagemaker"
MODEL = '[model]\nname = "squad"\npath = "models/squad"\n'


def job(runner: Runner, name: str) -> str:
    """Run a job's scripts; what they printed."""
    found = scripts(runner.root, "github", name, TITLE)
    return "".join(runner.run(text) for _, text, _ in found)


@pytest.mark.parametrize(
    "jobs", [("plan",), pytest.param(("plan", "deploy", "rollback"), marks=pytest.mark.series)]
)
def test_a_pipeline_plans_deploys_and_rolls_back(
    aws: AwsServer, tmp_path: Path, jobs: tuple[str, ...]
) -> None:
    aws.endpoints.looks = 0
    root = repository(tmp_path / "repository", "sagemaker", MODEL)
    folder = model(root / "models" / "squad", 30)
    before = bundle(package(folder, bare("sagemaker"), out=tmp_path / "before"), folder)
    deployed(before, image="own:1")
    first = aws.endpoints["squad"].config
    model(folder, 31)
    ci(root, "sagemaker", "github")
    runner = Runner(root)
    may = {
        role: policy(document(root, "github", f"{role}-policy.json", TITLE))
        for role in ("reader", "deployer")
    }

    aws.authorizer.allows = may["reader"]
    job(runner, "plan")
    plan = (root / "plan.md").read_text(encoding="utf-8")
    assert plan.startswith("<!-- onnxferry: squad on sagemaker -->\n### Plan: squad on sagemaker\n")
    assert "Deploy squad on sagemaker (AWS account 123456789012, region eu-west-1)." in plan
    assert f"replaces {before.version}" in plan
    assert runner.summary.read_text(encoding="utf-8") == plan
    assert aws.endpoints["squad"].config == first
    assert runner.installed.count("onnxferry[image,aws]==") == 1
    if "deploy" not in jobs:
        return
    aws.authorizer.allows = may["deployer"]
    assert "squad on sagemaker: InService" in job(runner, "deploy")
    assert aws.endpoints["squad"].config != first
    job(runner, "rollback")
    assert aws.endpoints["squad"].config == first
    assert runner.installed.count("onnxferry[image,aws]==") == 3


def test_the_providers_run_the_same_scripts(tmp_path: Path) -> None:
    """But for how a plan becomes the run's summary, and how a pull request gets its comment."""
    root = repository(tmp_path, "sagemaker", MODEL)
    found = {}
    for provider in GIVEN:
        ci(root, "sagemaker", provider)
        for name in ("build", "plan", "deploy", "rollback"):
            lines = [text.splitlines() for _, text, _ in scripts(root, provider, name, TITLE)]
            found[provider, name] = lines
    for name in ("build", "deploy", "rollback"):
        assert found["github", name] == found["azure-devops", name]
    here, there = found["github", "plan"], found["azure-devops", "plan"]
    assert (here[0], here[1][:-1]) == (there[0], there[1][:-1])
    assert there[1][-1] == 'echo "##vso[task.uploadsummary]$PWD/plan.md"'


def test_a_plan_that_fails_ends_its_job_and_shows_no_half_of_one(tmp_path: Path) -> None:
    root = repository(tmp_path / "repository", "sagemaker", MODEL)
    ci(root, "sagemaker", "github")
    found = {title: text for title, text, _ in scripts(root, "github", "plan", TITLE)}
    said = Runner(root, command="json.tool").run(found["Plan"], code=2)  # takes no such options
    assert "usage" in said
    assert not (root / "plan.md").exists()


class CommentsApi(ThreadingHTTPServer):
    """Comments of pull request 7 at GitHub, threads at Azure DevOps; `wanted` is the only token."""

    wanted = "Bearer token"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, str]] = []
        self.comments: list[dict[str, Any]] = [
            {"id": 1, "user": {"type": "User"}, "body": "<!-- onnxferry: squad on sagemaker -->"},
            {"id": 2, "user": {"type": "Bot"}, "body": "of another"},
        ]
        self.threads: list[dict[str, Any]] = [
            {"id": 4, "comments": [{"id": 1}]},
            {"id": 5, "comments": [{"id": 1, "content": "of another"}]},
        ]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, method: str, path: str, body: dict[str, Any]) -> Any:
        """None for what there is not."""
        place, _, query = path.partition("?")
        if place.startswith("/repos/octo/squad/issues/"):
            return self._github(method, place.removeprefix("/repos/octo/squad/issues"), body)
        threads = "/org/id/_apis/git/repositories/repo/pullRequests/7/threads"
        known = query == "api-version=7.1" and place.startswith(threads)
        return self._azure(method, place.removeprefix(threads), body) if known else None

    def _github(self, method: str, place: str, body: dict[str, Any]) -> Any:
        if place == "/7/comments":
            new = {"user": {"type": "Bot"}, **body}
            return self.comments if method == "GET" else self._add(self.comments, new)
        self._of(self.comments, place).update(body)
        return {}

    def _azure(self, method: str, place: str, body: dict[str, Any]) -> Any:
        if method == "GET":
            return {"value": self.threads, "count": len(self.threads)}
        if method == "POST":
            (comment,) = body["comments"]
            return self._add(self.threads, {**body, "comments": [{"id": 1, **comment}]})
        self._of(self.threads, place.removesuffix("/comments/1"))["comments"][0].update(body)
        return {}

    def _add(self, all_: list[dict[str, Any]], new: dict[str, Any]) -> dict[str, Any]:
        all_.append({"id": 9, **new})
        return all_[-1]

    def _of(self, all_: list[dict[str, Any]], place: str) -> dict[str, Any]:
        (found,) = (each for each in all_ if str(each["id"]) == place.rpartition("/")[2])
        return found


class _Handler(BaseHTTPRequestHandler):
    server: CommentsApi

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((self.command, self.path))
        allowed = self.headers.get("Authorization") == self.server.wanted
        said = self.server.answer(self.command, self.path, json.loads(body or b"{}"))
        status = 200 if allowed and said is not None else 401
        text = json.dumps(said if status == 200 else {"message": "Bad credentials"}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PATCH = _answer  # noqa: N815

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def api() -> Iterator[CommentsApi]:
    with CommentsApi() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()


def given(server: CommentsApi, token: str) -> dict[str, str]:
    """The variables of both providers."""
    return {
        "GITHUB_API_URL": server.url,
        "GITHUB_REPOSITORY": "octo/squad",
        "COLLECTION": f"{server.url}/org/",
        "PROJECT": "id",
        "REPOSITORY": "repo",
        "NUMBER": "7",
        "TOKEN": token,
    }


def texts(server: CommentsApi, provider: str) -> list[str]:
    if provider == "github":
        return [each["body"] for each in server.comments[2:]]
    return [thread["comments"][0]["content"] for thread in server.threads[2:]]


@PROVIDER
def test_a_pull_request_has_one_comment_which_each_run_renews(
    tmp_path: Path, provider: str
) -> None:
    root = repository(tmp_path / "repository", "sagemaker", MODEL)
    ci(root, "sagemaker", provider)
    name = "comment" if provider == "github" else "plan"
    found = {title: (text, env) for title, text, env in scripts(root, provider, name, TITLE)}
    text, env = found["Show the plan in the pull request"]
    assert {"TOKEN", "NUMBER"} <= set(env)
    runner = Runner(root)
    mark = "<!-- onnxferry: squad on sagemaker -->"
    with api() as server:
        for plan in (f"{mark}\nfirst `$(id)` \"'\n", f"{mark}\nsecond\n"):
            (root / "plan.md").write_text(plan, encoding="utf-8")
            printed = runner.run(text, given(server, "token"))
            assert texts(server, provider) == [plan]
            assert "token" not in printed
        assert [method for method, _ in server.asked] == ["GET", "POST", "GET", "PATCH"]
        said = runner.run(text, given(server, "stale"), code=22)
        assert "Bad credentials" in said or "401" in said
        assert texts(server, provider) == [plan]


@pytest.mark.series
@pytest.mark.host
@pytest.mark.toolchain
def test_a_build_prepares_packages_and_rehearses(tmp_path: Path) -> None:
    """As a job does, from a checkpoint in the repository to the figures of its rehearsal."""
    table = '[model]\nname = "squad"\nsource = "trained"\nvariant = "fp32"\nmin_agreement = 1.0\n'
    root = repository(tmp_path / "repository", "sagemaker", table)
    checkpoints.bert(root / "trained", "text-classification")
    ci(root, "sagemaker", "github", "--python", "3.12")
    said = job(Runner(root, command="onnxferry"), "build")
    assert "build/models/trained: is not there" in said
    assert "golden answer" in said
    (archive,) = (root / "build" / "sagemaker").rglob("model.tar.gz")
    record = json.loads((archive.parent / "rehearsal.json").read_text(encoding="utf-8"))
    assert record["latency_p50_ms"] > 0
