"""Function apps on Flex Consumption: plans and apps at the resource manager, One Deploy at each
app's SCM host, and the app's own host, which serves what was published last.

What serves is recorded change by change. An app answers by a real runtime where the test gives its
URL for a package, and else by the package's own model in this process.
"""

from __future__ import annotations

import io
import re
import tempfile
import uuid
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from onnxferry import scoring
from tests.fakes.azure.arm import ResourceType, missing
from tests.fakes.azure.fake import AzureFake
from tests.fakes.azure.http import Answer, Call, Route, error
from tests.fakes.azure.login import signed_in
from tests.fakes.azure.providers import given, web_settings
from tests.fakes.azure.providers.authorization import Authorization
from tests.fakes.azure.providers.insights import FakeInsights
from tests.fakes.azure.providers.web_keys import HostKeys
from tests.fakes.azure.providers.web_packages import (
    FakePublication,
    fault_of,
    functions_of,
    publication,
)
from tests.fakes.azure.providers.web_shapes import FARM, FORBIDDEN, SITE, scale_fault
from tests.fakes.azure.providers.web_sign_in import FakeSignIn
from tests.fakes.azure.store import Resource

SITES, FARMS = "Microsoft.Web/sites", "Microsoft.Web/serverfarms"
_SITE_PATH = r"(?P<site>/subscriptions/.+/providers/Microsoft\.Web/sites/(?P<name>[^/]+))"
_FORBIDDEN_BY_STORAGE = (
    "Failed to upload because Azure Storage responded with Forbidden : Response status code does"
    " not indicate success: 403 (This request is not authorized to perform this operation using"
    " this permission.)."
)

_FORBIDDEN_BY_FIREWALL = _FORBIDDEN_BY_STORAGE.replace(" using this permission", "")


@dataclass
class FunctionApps:
    """`history` records each change of what an app serves: (app, sha256 of the package, or "" when
    it went); `unproved` the packages that took the place of another before any app had answered
    with them; `opened` the apps that would answer anybody, at each change that left them so.

    On demand: `publish_failures` fail the next publications with these logs; `busy` answers that
    many with 409; `unseen` is how often it must be told to look until functions are listed; `sick`
    holds packages with which no host comes up; `answers` maps (app, sha256) to bytes that it
    answers instead; `crashes` maps an app to the traceback of its function;
    `roles_unknown` is how many publications the storage account refuses though the role is there;
    `walled` are apps that its firewall does not let in; `taken` holds names of others' apps;
    `locations` are where there is Flex Consumption; `no_quota` is whether there is none left.
    """

    fake: AzureFake
    authorization: Authorization
    insights: FakeInsights
    history: list[tuple[str, str]] = field(default_factory=list)
    unproved: list[str] = field(default_factory=list)
    answered: set[str] = field(default_factory=set)
    opened: list[str] = field(default_factory=list)
    serving: dict[str, FakePublication] = field(default_factory=dict)
    latest: dict[str, FakePublication] = field(default_factory=dict)
    starts: dict[str, int] = field(default_factory=dict)
    runtimes: dict[str, str] = field(default_factory=dict)
    publish_failures: list[str] = field(default_factory=list)
    busy: int = 0
    unseen: int = 0
    roles_unknown: int = 0
    no_quota: bool = False
    sick: set[str] = field(default_factory=set)
    answers: dict[tuple[str, str], bytes] = field(default_factory=dict)
    crashes: dict[str, str] = field(default_factory=dict)
    walled: set[str] = field(default_factory=set)
    taken: set[str] = field(default_factory=set)
    locations: set[str] = field(default_factory=lambda: {"westeurope", "northeurope"})
    principals: dict[str, str] = field(default_factory=dict)  # of the apps' identities
    app_settings: dict[str, dict[str, str]] = field(default_factory=dict)
    host_keys: HostKeys = field(default_factory=HostKeys)
    _scorers: dict[Any, Any] = field(default_factory=dict)
    sign_in: FakeSignIn = field(init=False)

    def __post_init__(self) -> None:
        self.sign_in = FakeSignIn(self.fake, self._look_whether_open)

    @property
    def types(self) -> tuple[ResourceType, ...]:
        return (
            ResourceType(
                FARMS,
                FARM,
                slow=True,
                deletes_slowly=False,
                created=200,
                check=self._check_farm,
                on_delete=self._farm_in_use,
            ),
            ResourceType(
                SITES,
                SITE,
                slow=True,
                deletes_slowly=False,
                created=200,
                replaces=True,
                check=self._check_site,
                fill=self._fill_site,
                on_delete=self._gone,
            ),
            *given.types(),
        )

    @property
    def routes(self) -> tuple[Route, ...]:
        scm, app = (
            rf"(?P<app>[\w-]+)\.{suffix}\.localhost(:\d+)?" for suffix in ("scm", "azurewebsites")
        )
        return (
            Route(
                "POST",
                r"/subscriptions/[^/]+/providers/Microsoft\.Web/checknameavailability",
                self._available,
            ),
            Route("POST", _SITE_PATH + "/host/default/listkeys", self._managed(self._keys)),
            Route(
                "PUT", _SITE_PATH + "/host/default/functionKeys/[^/]+", self._managed(self._put_key)
            ),
            Route("POST", _SITE_PATH + "/syncfunctiontriggers", self._managed(self._look)),
            *web_settings.routes(self.fake, _SITE_PATH, self.settings, self.put_settings),
            Route("GET", _SITE_PATH + "/functions", self._managed(self._functions)),
            Route("POST", "/api/publish", self._scm(self._publish), scm),
            Route("GET", "/api/deployments/latest", self._scm(self._deployment), scm),
            Route("GET", "/api/deployments/latest/log", self._scm(self._log), scm),
            *self.sign_in.routes(_SITE_PATH),
            Route("POST", "/api/score", self._score, app),
            Route("GET", r"/api/(?P<name>health|ready)", self._probe, app),
            Route("GET", "/admin/host/status", self._status, app),
        )

    def key(self, app: str, kind: str = "function") -> str:
        """A key of `app`, which must never be printed."""
        if kind == "function":
            return self.host_keys.of(app)["default"]
        return f"{kind}-key-of-{app.lower()}-never-to-be-printed"

    def site(self, app: str) -> Resource | None:
        return next(
            (s for s in self.fake.store.all(SITES) if s["name"].lower() == app.lower()), None
        )

    def settings(self, app: str) -> dict[str, str]:
        """The app's settings, which are its process's environment variables. No GET of the app
        shows them."""
        return dict(self.app_settings.get(app.lower(), {}))

    def put_settings(self, app: str, values: Mapping[str, str]) -> None:
        """Have these and no others; the app starts again."""
        self.app_settings[app.lower()] = dict(values)
        self.starts[app.lower()] = 1
        self._look_whether_open(app)

    def up(self, app: str) -> FakePublication | None:
        """What the app serves, when its host is up."""
        found = self.serving.get(app.lower())
        if (
            found is None
            or self.site(app) is None
            or self.starts.get(app.lower(), 0) > 0
            or found.sha256 in self.sick
            or not self._opens_storage(app)
        ):
            return None
        return found

    def anonymous(self, app: str) -> bool:
        """Whether its functions answer without a key."""
        return self.settings(app).get("ONNXFERRY_FUNCTIONS_AUTH") == "anonymous"

    def _look_whether_open(self, app: str) -> None:
        serves = self.site(app) and app.lower() in self.serving
        if serves and self.anonymous(app) and not self.sign_in.asks(app):
            self.opened.append(app.lower())

    def _opens_storage(self, app: str) -> bool:
        """Whether the host's own storage account opens to the identity that its settings name."""
        site, settings = self.site(app) or {}, self.settings(app)
        account = settings.get("AzureWebJobsStorage__accountName", "")
        client, assigned = settings.get("AzureWebJobsStorage__clientId"), self._identities(site)
        principal = (
            assigned.get(client, {}).get("principalId", "")
            if client
            else site["identity"].get("principalId", "")
        )
        return self.authorization.allowed(principal, account)

    def _identities(self, site: Resource) -> dict[str, Mapping[str, str]]:
        return given.identities(self.fake.store, site)

    def _check_farm(self, call: Call, old: Resource | None, body: dict[str, Any]) -> Answer | None:
        if body["location"] not in self.locations:
            said = (
                f"The provided location '{body['location']}' is not available for resource type"
                f" '{FARMS}'."
            )
            return error(400, "LocationNotAvailableForResourceType", said)
        if self.no_quota:
            return error(
                401,
                "Unauthorized",
                "This region has quota of 0 instances for your subscription. Try another.",
            )
        if body["sku"] != {"name": "FC1", "tier": "FlexConsumption"}:
            return error(400, "BadRequest", f"sku {body['sku']}")
        return None

    def _farm_in_use(self, farm: Resource) -> Answer | None:
        users = [
            s
            for s in self.fake.store.all(SITES)
            if s["properties"]["serverFarmId"].lower() == farm["id"].lower()
        ]
        return (
            error(
                409, "Conflict", f"Server farm '{farm['name']}' cannot be deleted: it has web apps"
            )
            if users
            else None
        )

    def _check_site(self, call: Call, old: Resource | None, body: dict[str, Any]) -> Answer | None:
        name, facts = call.path.rpartition("/")[2], body["properties"]
        farm = self.fake.store.get(facts["serverFarmId"])
        if name.lower() in self.taken:
            return error(409, "Conflict", f"Website with given name {name} already exists.")
        if farm is None or farm["properties"]["provisioningState"] != "Succeeded":
            return error(
                404, "NotFound", f"Cannot find serverFarm with id {facts['serverFarmId']}."
            )
        others = [s for s in self.fake.store.all(SITES) if s["id"].lower() != call.path.lower()]
        if any(s["properties"]["serverFarmId"].lower() == farm["id"].lower() for s in others):
            return error(409, "Conflict", "A Flex Consumption plan holds one app.")
        return self._unfit(body) or given.refused(self.fake.store, body)

    def _unfit(self, body: dict[str, Any]) -> Answer | None:
        """Why Flex Consumption takes no app with this body."""
        if wrong := scale_fault(body["properties"]["functionAppConfig"]["scaleAndConcurrency"]):
            return error(400, "BadRequest", f"Site.FunctionAppConfig.ScaleAndConcurrency: {wrong}")
        if names := set(web_settings.in_body(body)) & FORBIDDEN:
            return error(400, "BadRequest", f"not allowed on Flex Consumption: {sorted(names)}")
        return None

    def _fill_site(self, site: Resource) -> None:
        name, port = site["name"], self.fake.port
        host = f"{name.lower()}.azurewebsites.localhost:{port}"
        site["properties"] |= {
            "state": "Running",
            "defaultHostName": host,
            "enabledHostNames": [host],
            "hostNameSslStates": [
                {"name": host, "hostType": "Standard", "sslState": "Disabled"},
                {
                    "name": f"{name.lower()}.scm.localhost:{port}",
                    "hostType": "Repository",
                    "sslState": "Disabled",
                },
            ],
        }
        config = site["properties"].get("siteConfig") or {}
        if config.get("appSettings") is not None:
            self.app_settings[name.lower()] = web_settings.in_body(site)
            self._look_whether_open(name)
        config.pop("appSettings", None)
        site["identity"] = self._identity(name, site.get("identity") or {})

    def _identity(self, name: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
        kinds = [kind.strip() for kind in wanted.get("type", "None").split(",")]
        found: dict[str, Any] = {"type": ", ".join(kinds)}
        if "SystemAssigned" in kinds:
            found["principalId"] = self.principals.setdefault(name.lower(), str(uuid.uuid4()))
        else:
            self.principals.pop(name.lower(), None)
        if "UserAssigned" in kinds:
            given = wanted.get("userAssignedIdentities") or {}
            found["userAssignedIdentities"] = {id_: {"principalId": id_} for id_ in given}
        return found

    def _gone(self, site: Resource) -> None:
        name = site["name"].lower()
        self.principals.pop(name, None)
        self.app_settings.pop(name, None)
        self.sign_in.settings.pop(name, None)
        if self.serving.pop(name, None):
            self.history.append((name, ""))
        self.latest.pop(name, None)

    def _available(self, call: Call, match: re.Match[str]) -> Answer:
        if refusal := self.fake.arm.refuse(call):
            return refusal
        name = call.json["name"]
        if name.lower() in self.taken or self.site(name):
            said = f"Hostname '{name}' already exists. Please select a different name."
            return Answer(200, {"nameAvailable": False, "reason": "AlreadyExists", "message": said})
        return Answer(200, {"nameAvailable": True, "reason": "", "message": ""})

    def _managed(
        self, answer: Callable[[Call, str], Answer]
    ) -> Callable[[Call, re.Match[str]], Answer]:
        def guarded(call: Call, match: re.Match[str]) -> Answer:
            if refusal := self.fake.arm.refuse(call):
                return refusal
            return (
                answer(call, match["name"])
                if self.fake.store.get(match["site"])
                else missing(match["site"])
            )

        return guarded

    def _keys(self, call: Call, name: str) -> Answer:
        if name.lower() not in self.serving:
            return error(
                400, "BadRequest", "Encountered an error (ServiceUnavailable) from host runtime."
            )
        master, functions = self.key(name, "master"), self.host_keys.of(name)
        body = {"masterKey": master, "functionKeys": functions, "systemKeys": {}}
        return Answer(200, body)

    def _put_key(self, call: Call, name: str) -> Answer:
        return self.host_keys.put(call, name)

    def _look(self, call: Call, name: str) -> Answer:
        self.unseen = max(0, self.unseen - 1)
        return Answer(204)

    def _functions(self, call: Call, name: str) -> Answer:
        found = self.up(name)
        names = functions_of(found.package) if found and not self.unseen else ()
        rows = [{"name": f"{name}/{one}", "properties": {"name": one}} for one in names]
        return Answer(200, {"value": rows})

    def _scm(
        self, answer: Callable[[Call, str], Answer]
    ) -> Callable[[Call, re.Match[str]], Answer]:
        def guarded(call: Call, match: re.Match[str]) -> Answer:
            app = call.host.partition(".")[0].lower()
            if not signed_in(call):
                return Answer(401)
            return answer(call, app) if self.site(app) else Answer(404)

        return guarded

    def _publish(self, call: Call, app: str) -> Answer:
        latest = self.latest.get(app)
        if self.busy > 0 or (latest and latest.status == 1):
            self.busy -= 1
            return Answer(
                409,
                {"Message": "There is a deployment currently in progress. Please try again later."},
            )
        if (
            call.query.get("RemoteBuild") != "false"
            or call.headers.get("content-type") != "application/zip"
        ):
            return Answer(400, {"Message": "RemoteBuild=false and application/zip are expected"})
        self.latest[app] = publication(
            call.body, self.fake.operations.polls, self._refusal(app, call.body)
        )
        return Answer(202, self.latest[app].id)

    def _refusal(self, app: str, package: bytes) -> str:
        """Why a publication will fail, as its log says; "" when it will not."""
        if self.publish_failures:
            return self.publish_failures.pop(0)
        site = self.site(app) or {}
        facts = site["properties"]["functionAppConfig"]["deployment"]["storage"]
        storage, by = facts["value"], facts["authentication"]
        account = storage.partition("//")[2].partition(".")[0]
        resource = self.fake.store.get(by.get("userAssignedIdentityResourceId") or "") or site
        who = (resource.get("identity") or resource["properties"])["principalId"]
        if not self.authorization.allowed(who, account) or self.roles_unknown > 0:
            self.roles_unknown -= 1
            return _FORBIDDEN_BY_STORAGE
        if app in self.walled:
            return _FORBIDDEN_BY_FIREWALL
        name = storage.rpartition("/")[2]
        container = f"/storageAccounts/{account}/blobServices/default/containers/{name}"
        if not any(
            r["id"].lower().endswith(container.lower()) for r in self.fake.store.everything()
        ):
            return "The specified container does not exist."
        return fault_of(package)

    def _deployment(self, call: Call, app: str) -> Answer:
        found = self.latest.get(app)
        if found is None:
            return Answer(404)
        found.polls -= 1
        if found.status == 1 and found.polls < 0:
            found.status = 3 if found.failure else 4
            if not found.failure:
                before = self.serving.get(app, found).sha256
                if found.sha256 not in {before, *self.answered} and not app.endswith("-candidate"):
                    self.unproved.append(found.sha256)
                self.serving[app], self.starts[app] = found, 1
                self.history.append((app, found.sha256))
                self._look_whether_open(app)
        done = found.status != 1
        return Answer(
            200, {"id": found.id, "status": found.status, "status_text": "", "complete": done}
        )

    def _log(self, call: Call, app: str) -> Answer:
        found = self.latest.get(app)
        if found is None:
            return Answer(404)
        last = (
            found.failure or "Deployment was successful."
            if found.status != 1
            else "Uploading package ..."
        )
        return Answer(
            200,
            [
                {"log_time": "2026-11-21T10:00:00Z", "message": m}
                for m in ("Starting deployment.", last)
            ],
        )

    def _status(self, call: Call, match: re.Match[str]) -> Answer:
        app = call.host.partition(".")[0].lower()
        if call.headers.get("x-functions-key") != self.key(app, "master") or self.site(app) is None:
            return Answer(401)
        if self.sign_in.refuses(call, app):
            return Answer(401)
        if self.up(app):
            return Answer(200, {"state": "Running", "version": "4.1042.100"})
        self.starts[app] = self.starts.get(app, 0) - 1
        return Answer(
            200, {"state": "Error", "errors": ["ModuleNotFoundError: no module named 'numpy'"]}
        )

    def _score(self, call: Call, match: re.Match[str]) -> Answer:
        app = call.host.partition(".")[0].lower()
        found = self.up(app)
        shown = call.headers.get("x-functions-key")
        key = shown in self.host_keys.opening(app) or self.anonymous(app)
        if self.site(app) is None or self.sign_in.refuses(call, app) or not key:
            return Answer(401)
        if found is None:
            return Answer(503, b"Function host is not running.")
        if traceback := self.crashes.get(app):
            said = f"Result: Failure\nException: {traceback.splitlines()[-1]}\nStack: {traceback}"
            columns = {"ExceptionType": "RpcException", "InnermostMessage": said}
            columns["OuterMessage"] = "Exception while executing function: Functions.score"
            self._says(app, "AppExceptions", columns)
            return Answer(500)
        self._says(app, "AppTraces", {"Message": "Executed 'Functions.score' (Succeeded)"})
        self.answered.add(found.sha256)
        if answer := self.answers.get((app, found.sha256)):
            return Answer(200, answer, {"Content-Type": "application/json"})
        kinds = {
            name: call.headers.get(name, "application/json") for name in ("content-type", "accept")
        }
        if url := self.runtimes.get(found.sha256):
            real = httpx.post(url, content=call.body, headers=kinds, timeout=60)
            return Answer(
                real.status_code, real.content, {"Content-Type": real.headers["content-type"]}
            )
        done = self._scorer(found, app).handle(
            scoring.Request(call.body, kinds["content-type"], kinds["accept"])
        )
        return Answer(done.status, done.body, {"Content-Type": done.content_type})

    def _probe(self, call: Call, match: re.Match[str]) -> Answer:
        app = call.host.partition(".")[0].lower()
        if self.sign_in.refuses(call, app):
            return Answer(401)
        found = self.up(app)
        if found is None:
            return Answer(503, b"Function host is not running.")
        return Answer(200 if match["name"] in functions_of(found.package) else 404)

    def _says(self, app: str, table: str, columns: Mapping[str, Any]) -> None:
        if site := self.site(app):
            self.insights.take(site, self.settings(app), table, columns)

    def _scorer(self, found: FakePublication, app: str) -> Any:
        """The package's model, loaded with the app's settings as its environment."""
        environment = self.settings(app)
        key = (found.sha256, *sorted(environment.items()))
        if key not in self._scorers:
            with (
                tempfile.TemporaryDirectory() as folder,
                zipfile.ZipFile(io.BytesIO(found.package)) as zipped,
            ):
                zipped.extractall(folder, [n for n in zipped.namelist() if n.startswith("model/")])
                self._scorers[key] = scoring.load(Path(folder) / "model", environment)
        return self._scorers[key]
