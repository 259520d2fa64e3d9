"""The playground in Chromium, driven by the keyboard: every task, marks, errors, a key, and what
the page may load. Each test ends with a console without errors, and no request left the server."""

from __future__ import annotations

import ast
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from PIL import Image

from tests.targets.playground_server import HOSTILE, serving, written

api = pytest.importorskip("playwright.sync_api", reason="the playwright package is not installed")
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed (apt install chromium)"),
]
FOCUSED = "document.activeElement.labels?.[0]?.innerText ?? document.activeElement.innerText"
DOLLY = "Dolly Rebecca Parton was born in 1946"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(written(tmp_path_factory.mktemp("models"))) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Page:
    """A page of the playground, and a person who has only a keyboard."""

    tab: Any
    url: str
    refused: bool = False  # whether the browser tells of requests that it expects to fail

    def show(self, model: str) -> None:
        self.tab.goto("about:blank")
        self.tab.goto(f"{self.url}#{quote(model)}")
        self.tab.get_by_role("button", name="Run", exact=True).wait_for()

    def reach(self, name: str) -> None:
        """Press Tab until the focus is on what is called so."""
        for _ in range(40):
            if (self.tab.evaluate(FOCUSED) or "").startswith(name):
                return
            self.tab.keyboard.press("Tab")
        raise AssertionError(f"Tab does not reach {name!r}")

    def write(self, **fields: str) -> None:
        for name, text in fields.items():
            self.reach(name.replace("_", " "))
            self.tab.keyboard.press("Control+A")
            self.tab.keyboard.insert_text(text)

    def run(self) -> Any:
        """The answer's part of the page, once the answer is there."""
        self.reach("Run")
        self.tab.keyboard.press("Enter")
        self.tab.locator(".latency, .error").wait_for()
        return self.tab.get_by_role("region", name="Answer", exact=True)


@dataclass
class Heard:
    """What the page asked for, and what it said on the console or in a dialog."""

    asked: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def heard() -> Heard:
    return Heard()


@pytest.fixture(scope="module")
def tab(browser: Any, heard: Heard) -> Iterator[Any]:
    """One page for all tests, which loads anew for each."""
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    tab = context.new_page()
    tab.set_default_timeout(20_000)
    tab.on("request", lambda request: heard.asked.append(request.url))
    tab.on("console", lambda message: heard.said.append(message.text))
    tab.on("pageerror", lambda error: heard.said.append(str(error)))
    tab.on("dialog", lambda dialog: heard.said.append(f"dialog {dialog.message}"))
    yield tab
    context.close()


@pytest.fixture
def page(tab: Any, url: str, heard: Heard) -> Iterator[Page]:
    page = Page(tab, url)
    heard.asked.clear()
    heard.said.clear()
    yield page
    tab.unroute_all()
    assert heard.asked
    own = url, f"blob:{url}", "about:blank"
    assert [to for to in heard.asked if not to.startswith(own)] == []
    said = [t for t in heard.said if not (page.refused and t.startswith("Failed to load"))]
    assert said == []


ASKED = {
    "answers": ({"Question": "Who is the middle", "Context": DOLLY}, ["Rebecca"]),
    "labels": ({"Text": "very good day"}, ["good", "0.", "bad", "long"]),
    "entities": ({"Text": DOLLY}, ["PER 0.79", "1946 · DATE"]),
    "choices": ({"Text": "day", "Labels": "good\nbad\n"}, ["good", "bad"]),
    "masks": ({"Text": "a very [MASK]"}, ["day", "good", "very"]),
    "vectors": ({"First": "good", "Second": "day"}, ["cosine of the two", "2 dimensions"]),
    "alike": ({"Sentence": "good", "Compared": "good\nday"}, ["good", "1.0000", "day"]),
    "ranked": ({"Query": "a", "Documents": "bad\ngreat"}, ["great", "bad"]),
    "arrays": ({"JSON": '{"inputs": {"x": [[1, 2]], "k": [[3]]}}'}, ["square", "1 × 2", "16, 25"]),
}


def test_every_task_by_keyboard(page: Page) -> None:
    page.show("points")
    for model, (fields, expected) in ASKED.items():
        page.reach("Model")
        page.tab.keyboard.type(model)
        page.tab.wait_for_url(f"{page.url}#{model}")
        page.write(**fields)
        shown, at = page.run().inner_text(), 0
        for text in expected:  # in this order
            assert text in shown[at:], (model, shown)
            at = shown.index(text, at)
        for stage in ("decode", "queue", "preprocess", "engine", "postprocess", "encode"):
            assert stage in shown


def picture() -> dict[str, Any]:
    """Left red, right blue."""
    image, file = Image.new("RGB", (40, 20), (255, 0, 0)), io.BytesIO()
    image.paste((0, 0, 255), (20, 0, 40, 20))
    image.save(file, "PNG")
    return {"name": "it's.png", "mimeType": "image/png", "buffer": file.getvalue()}


@pytest.mark.parametrize(
    ("model", "parameters", "expected"),
    [
        ("pictures", '{"top_k": 3}', ["red", "green"]),
        ("boxes", "", ["red 0.", "blue 0."]),
        ("points", "", ["1 × 16 × 3", "3 dimensions"]),
    ],
)
def test_a_picture(page: Page, model: str, parameters: str, expected: list[str]) -> None:
    page.show(model)
    page.run()
    assert "Choose, drop or paste" in page.tab.get_by_role("alert").inner_text()
    page.tab.get_by_label("Choose a picture").set_input_files(picture())
    page.write(Parameters=parameters)
    answer = page.run()
    answer.get_by_text(expected[0]).first.wait_for()
    assert [text for text in expected if text not in answer.inner_text()] == []
    if model == "boxes":
        found = answer.locator(".box").evaluate_all("all => all.map(box => box.offsetLeft)")
        assert found[0] < found[1]
        assert answer.get_by_role("img", name="it's.png with red, blue marked").count() == 1


def test_a_picture_that_is_pasted_or_dropped(page: Page) -> None:
    page.show("pictures")
    for event, transfer in (("paste", "clipboardData"), ("drop", "dataTransfer")):
        page.tab.evaluate(
            """([event, transfer]) => {
                const data = new DataTransfer();
                const type = 'image/png';
                data.items.add(new File([new Uint8Array(9)], `${event}.png`, { type }));
                const kind = event === 'drop' ? DragEvent : ClipboardEvent;
                const target = document.querySelector('.drop');
                target.dispatchEvent(new kind(event, { [transfer]: data, bubbles: true }));
            }""",
            [event, transfer],
        )
        page.tab.get_by_text(f"{event}.png, 1 kB").wait_for()


def test_a_mark_counts_code_points(page: Page) -> None:
    page.show("answers")
    page.write(Context="😀👩‍👩‍👧 é dolly 😀 rebecca parton")
    answer = page.run()
    assert answer.locator("mark").all_inner_texts() == ["rebecca"]


def test_several_answers_are_marked_one_at_a_time(page: Page) -> None:
    page.show("answers")
    page.write(Context=DOLLY, Parameters='{"top_k": 2}')
    answer = page.run()
    assert answer.locator("mark").all_inner_texts() == ["Rebecca"]
    second = answer.get_by_role("list", name="Answers").get_by_role("button").nth(1)
    second.press("Enter")
    assert second.get_attribute("aria-pressed") == "true"
    assert answer.locator("mark").all_inner_texts() != ["Rebecca"]


def test_markup_is_text(page: Page) -> None:
    page.show(HOSTILE)
    assert page.tab.get_by_label("Model").input_value() == HOSTILE
    page.write(Text=f"awful {HOSTILE}")
    answer = page.run()
    assert HOSTILE in answer.inner_text()
    page.show("answers")
    page.write(Context=f"{HOSTILE} rebecca {HOSTILE}")
    assert page.run().inner_text().count(HOSTILE) == 2
    assert page.tab.locator("img, script[src*=alert]").count() == 0


def test_the_servers_refusal_is_shown_as_it_is(page: Page) -> None:
    page.refused = True
    page.show("labels")
    page.write(Parameters='{"top_k": 0}')
    page.run()
    body = {"inputs": "a", "parameters": {"top_k": 0}}
    said = httpx.post(f"{page.url}models/labels/predict", json=body).json()["error"]
    shown = page.tab.get_by_role("alert").inner_text()
    assert said["message"] in shown
    assert f"400 {said['code']}" in shown
    page.write(Parameters="{top_k}")
    page.tab.keyboard.press("Control+Enter")
    page.tab.get_by_role("alert").get_by_text("Parameters: ").wait_for()


def test_a_server_that_is_gone(page: Page) -> None:
    page.show("labels")
    page.tab.route("**/predict", lambda route: route.abort("connectionrefused"))
    page.refused = True
    page.run()
    assert "did not answer" in page.tab.get_by_role("alert").inner_text()


def test_a_key_is_asked_for_and_never_in_a_url(page: Page) -> None:
    page.refused = True
    error = json.dumps({"error": {"code": "unauthorized", "message": "wrong key"}})

    def guard(route: Any) -> None:
        if route.request.headers.get("authorization") == "Bearer a secret":
            route.continue_()
        else:
            route.fulfill(status=401, body=error, content_type="application/json")

    page.tab.route("**/models**", guard)
    page.tab.goto(page.url)
    page.tab.get_by_role("textbox", name="API key").wait_for()
    assert "API key" in page.tab.evaluate(FOCUSED)
    page.tab.keyboard.insert_text("another")
    page.tab.keyboard.press("Enter")
    page.tab.get_by_text("wrong key").wait_for()
    page.write(API_key="a secret")
    page.tab.keyboard.press("Enter")
    page.tab.get_by_label("Question").wait_for()
    page.reach("Question")
    assert "Answer" in page.run().inner_text()
    assert "secret" not in page.tab.url
    code = page.tab.get_by_role("region", name="curl code").inner_text()
    assert "$API_KEY" in code
    assert "secret" not in code
    assert page.tab.evaluate("localStorage.length + sessionStorage.length") == 0


def code(page: Page, language: str) -> str:
    page.tab.get_by_role("tab", name=language, exact=True).click()
    page.tab.get_by_role("button", name=f"Copy {language} code").press("Enter")
    page.tab.get_by_text("Copied").first.wait_for()
    return str(page.tab.evaluate("navigator.clipboard.readText()"))


def printed(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


def test_the_code_makes_the_request(page: Page, tmp_path: Path) -> None:
    page.show("labels")
    text, parameters = 'it\'s "good" \\ $HOME `x` 😀\n%s day', {"top_k": None}
    page.write(Text=text, Parameters=json.dumps(parameters))
    page.tab.get_by_text("HOME").first.wait_for()
    body = {"inputs": text, "parameters": parameters}
    answer = httpx.post(f"{page.url}models/labels/predict", json=body).json()
    if shutil.which("curl"):
        assert json.loads(printed(tmp_path, "bash", "-c", code(page, "curl"))) == answer
    program = code(page, "Python")
    assert ast.literal_eval(printed(tmp_path, sys.executable, "-c", program)) == answer
    compile(code(page, "boto3"), "boto3", "exec")
    stub = 'az() { test "$5" = labels && cat request.json; }\n'
    assert json.loads(printed(tmp_path, "bash", "-c", stub + code(page, "az"))) == body


def test_a_pictures_code_makes_the_request(page: Page, tmp_path: Path) -> None:
    page.show("pictures")
    sent = picture()
    (tmp_path / sent["name"]).write_bytes(sent["buffer"])
    page.tab.get_by_label("Choose a picture").set_input_files(sent)
    page.tab.get_by_text("Choose another").wait_for()
    page.tab.get_by_role("tab", name="az", exact=True).wait_for()
    answer = page.run().inner_text()
    program = code(page, "Python")
    assert ast.literal_eval(printed(tmp_path, sys.executable, "-c", program))[0]["label"] in answer
    stub = "az() { cat request.json; }\n"
    body = json.loads(printed(tmp_path, "bash", "-c", stub + code(page, "az")))
    asked = httpx.post(f"{page.url}models/pictures/predict", json=body).json()
    assert asked[0]["label"] in answer


def test_json_in_and_out_and_back(page: Page) -> None:
    page.show("labels")
    page.write(Text="good day")
    page.tab.get_by_role("tab", name="Form").press("ArrowRight")
    field = page.tab.get_by_label("JSON request")
    assert json.loads(field.input_value())["inputs"] == "good day"
    field.fill('{"inputs": ["good", "bad"], "parameters": {"top_k": 1}}')
    answer = page.run()
    answer.get_by_role("tab", name="JSON").press("Enter")
    body = {"inputs": ["good", "bad"], "parameters": {"top_k": 1}}
    expected = httpx.post(f"{page.url}models/labels/predict", json=body).json()
    assert json.loads(answer.get_by_role("region", name="answer").inner_text()) == expected
    page.tab.get_by_role("tab", name="JSON").first.press("ArrowLeft")
    assert page.tab.get_by_label("Text").input_value() == "good"
    assert page.tab.get_by_label("Parameters").input_value() == '{"top_k":1}'


def test_numbers_of_json_are_shown_as_they_came(page: Page) -> None:
    page.show("arrays")
    page.write(JSON='{"inputs": {"x": [[1.0]], "k": [[9007199254740993]]}}')
    assert "9007199254740993" in code(page, "Python")


UNNAMED = """() => [...document.querySelectorAll('input, select, textarea, button, a')].filter(e =>
    !(e.labels?.length || e.getAttribute('aria-label') || e.innerText.trim())).length"""
CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("model", ["answers", "entities", "boxes"])
def test_what_is_shown_can_be_read(page: Page, model: str) -> None:
    page.tab.emulate_media(reduced_motion="reduce")
    page.tab.set_viewport_size({"width": 360, "height": 700})
    page.show(model)
    if model == "boxes":
        page.tab.get_by_label("Choose a picture").set_input_files(picture())
    page.run()
    assert page.tab.evaluate("document.documentElement.scrollWidth") == 360
    assert page.tab.evaluate(UNNAMED) == 0
    assert page.tab.evaluate("document.getAnimations().length") == 0
    for scheme in ("light", "dark"):
        page.tab.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert page.tab.evaluate(CONTRAST) == []
    for role in ("banner", "main", "form"):
        assert page.tab.get_by_role(role).count() == 1
    page.reach("Run")
    style = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.tab.evaluate(style) == "solid"
