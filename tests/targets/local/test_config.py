"""What a server is told: a file, options, variables; what is wrong is named, with what is near."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from onnxferry.targets.local.command import configured, program
from onnxferry.targets.local.config import ServerConfig

TOML = """
port = 9000
keys_file = "keys"
models = ["one", {path = "two", name = "second", route = "/ask"}]
"""
YAML = """
port: 9000
keys_file: keys
models: [one, {path: two, name: second, route: /ask}]
"""
DEEPSPARSE = """
num_cores: 2
num_workers: 4
endpoints:
  - task: question_answering
    model: qa
    name: answers
    route: /unpruned/predict
    batch_size: 1
    kwargs: {sequence_length: 128}
loggers: {prometheus: {port: 6100}}
"""


def read(tmp_path: Path, name: str, text: str, **flags: Any) -> ServerConfig:
    file = tmp_path / name
    file.write_text(text)
    return configured((), file, default=lambda: Path("default"), **flags)[0]


@pytest.mark.parametrize(("name", "text"), [("s.toml", TOML), ("s.yaml", YAML), ("s.yml", YAML)])
def test_one_file_in_either_language(tmp_path: Path, name: str, text: str) -> None:
    config = read(tmp_path, name, text)
    assert (config.port, config.keys_file) == (9000, tmp_path / "keys")
    assert [(m.path, m.name, m.route) for m in config.models] == [
        (tmp_path / "one", "", ""),
        (tmp_path / "two", "second", "/ask"),
    ]


def test_a_flag_wins_over_the_file(tmp_path: Path) -> None:
    assert read(tmp_path, "s.toml", TOML, port="1", watch=True).port == 1


def test_deepsparses_file_is_taken_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "server.yaml"
    file.write_text(DEEPSPARSE)
    config, notes = configured((), file, default=Path)
    assert (config.port, config.threads) == (5543, 2)
    (model,) = config.models
    assert (model.name, model.task, model.path) == ("answers", "question_answering", Path("qa"))
    assert model.route == "/v2/models/unpruned/predict/infer"
    assert model.arguments == {"batch_size": 1, "sequence_length": 128}
    assert ["num_workers" in note or "loggers" in note for note in notes] == [True, True]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 1", "'prot' is not known; did you mean 'port'? known: models, host, port"),
        ("port = 70000", "'port': Input should be less than or equal to 65535"),
        (
            "models = [{path = 'a', nmae = 'b'}]",
            "'models.0.nmae' is not known; did you mean 'name'",
        ),
        ("models = []", "'models'"),
        ("tls_key = 'k'", "tls_key needs tls_certificate"),
        ("port = ", "s.toml: not readable"),
        ("cors_origins = ['https://a.example/']", "'https://a.example/' is no origin"),
        ("cors_origins = ['a.example']", "expected one like https://example.com"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(click.UsageError) as raised:
        read(tmp_path, "s.toml", text)
    assert said in str(raised.value)
    assert "s.toml" in str(raised.value)


def test_a_misspelt_variable_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONNXFERRY_SERVER_KEY", "a-key-of-20-letters!")
    monkeypatch.setenv("ONNXFERRY_SERVER_KEYS", "a-key-of-20-letters!")
    _, notes = configured(("some/dir",), None, default=Path)
    told = (
        "the variable ONNXFERRY_SERVER_KEY means nothing here; did you mean ONNXFERRY_SERVER_KEYS?"
    )
    assert notes == (told,)


@pytest.mark.parametrize(
    ("variables", "arguments", "port"),
    [
        ({"PORT": "81"}, (), 81),
        ({"PORT": "81", "AIP_HTTP_PORT": "82"}, (), 82),
        ({"PORT": "81", "ONNXFERRY_SERVER_PORT": "83"}, (), 83),
        ({"ONNXFERRY_SERVER_PORT": "83"}, ("--port", "84"), 84),
    ],
)
def test_variables_and_options(
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    arguments: tuple[str, ...],
    port: int,
) -> None:
    served: list[ServerConfig] = []
    server = pytest.importorskip("onnxferry.targets.local.server")
    monkeypatch.setattr(server, "serve", lambda config, notes: served.append(config))
    result = CliRunner(env=variables).invoke(
        program(Path("model")), [*arguments, "--cors-origin", "https://a.example", "big=some/dir"]
    )
    assert result.exit_code == 0, result.output
    (config,) = served
    assert (config.port, config.cors_origins) == (port, ("https://a.example",))
    assert [(m.name, m.path) for m in config.models] == [("big", Path("some/dir"))]


def test_a_wrong_option_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    result = CliRunner().invoke(program(Path("model")), ["--port", "abc"])
    assert result.exit_code == 2
    assert "'port': Input should be a valid integer" in result.output


def test_each_setting_has_an_option_with_a_text() -> None:
    options = {p.name: p for p in program(Path()).params if isinstance(p, click.Option)}
    assert options.keys() == {*ServerConfig.model_fields, "config"} - {"models"}
    assert all(option.help for option in options.values())


def test_hosts_of_pictures_are_names_and_need_the_switch(tmp_path: Path) -> None:
    config = read(
        tmp_path, "s.toml", 'models = ["one"]\nallow_urls = true\nurl_hosts = ["*.A.com"]'
    )
    assert (config.allow_urls, config.url_hosts) == (True, ("*.a.com",))
    for text, said in (
        ('url_hosts = ["a.com"]', "url_hosts needs allow_urls"),
        ('allow_urls = true\nurl_hosts = ["https://a.com"]', "url_hosts must list hosts like"),
    ):
        with pytest.raises(click.UsageError, match=said):
            read(tmp_path, "s.toml", f'models = ["one"]\n{text}')
