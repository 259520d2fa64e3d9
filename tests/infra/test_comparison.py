"""A shadow's answers beside those of the version that serves: which belong together, and how they
differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from onnxferry.infra import comparison, comparison_text
from onnxferry.infra.compare_command import ShadowLimits
from onnxferry.infra.comparison import AnswerRules, compare
from onnxferry.infra.request_metrics import RequestMetrics
from onnxferry.infra.shadow_traffic import CapturedAnswer, ShadowTraffic, VersionTraffic, paired
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.wire import JSON

LABELS = AnswerRules.of(ModelSpec("m", "text-classification", labels=("A", "B")))
ERROR = {"error": {"code": "invalid", "message": "no inputs"}}


def answer(value: Any, at: int = 0, request: str = "q", *ids: str, **more: Any) -> CapturedAnswer:
    body = None if value is None else json.dumps(value).encode()
    time = f"2026-11-26T10:00:{at:02}Z"
    return CapturedAnswer(time, ids, request, body=body, **more)


def label(name: str, score: float = 0.9) -> list[dict[str, Any]]:
    return [{"label": name, "score": score}]


def traffic(
    serving: list[CapturedAnswer], shadow: list[CapturedAnswer], *metrics: RequestMetrics
) -> ShadowTraffic:
    counted = metrics or (None, None)
    live = VersionTraffic("AllTraffic", "a" * 12, tuple(serving), counted[0])
    other = VersionTraffic("shadow-x", "b" * 12, tuple(shadow), counted[1])
    return ShadowTraffic("AWS", "2026-11-26T10:00:00Z", 20, live, other)


def test_answers_belong_together_by_the_callers_name_before_the_clouds_and_both_before_bytes() -> (
    None
):
    serving = [
        answer(1, 0, "same", "", "event"),
        answer(2, 1, "same", "mine", "other"),
        answer(3, 2, "same", "", "x"),
    ]
    shadow = [
        answer(30, 3, "same", "", "y"),
        answer(20, 4, "same", "mine", "event"),
        answer(10, 5, "other", "", "event"),
    ]
    found = [(a.body, b.body) for a, b in paired(serving, shadow)]
    assert found == [(b"3", b"30"), (b"2", b"20"), (b"1", b"10")]


def test_requests_of_the_same_bytes_are_paired_one_by_one() -> None:
    serving = [answer(i, i) for i in range(3)]
    shadow = [answer(i, 9) for i in range(2)]
    assert len(paired(serving, shadow)) == 2


def test_redacted_answers_without_common_names_are_not_guessed() -> None:
    assert paired([answer(1, 0, "", "", "a")], [answer(1, 0, "", "", "b")]) == []


def test_scores_may_differ_while_labels_agree() -> None:
    serving = [answer(label("A"), 0, "1"), answer(label("A"), 1, "2"), answer(label("A"), 2, "3")]
    shadow = [
        answer(label("A"), 0, "1"),
        answer(label("A", 0.7), 1, "2"),
        answer(label("B"), 2, "3"),
    ]
    found = compare(traffic(serving, shadow), LABELS)
    assert (found.pairs, found.same, found.agree) == (3, 1, 2)
    assert [(one.place, one.agree) for one in found.differing] == [
        ("answer[0].score", True),
        ("answer[0].label", False),
    ]


def test_a_tolerance_can_be_given() -> None:
    pair = ([answer(label("A", 0.90))], [answer(label("A", 0.91))])
    assert compare(traffic(*pair), AnswerRules.of(None)).same == 0
    assert compare(traffic(*pair), AnswerRules.of(None, 0.1)).same == 1


def test_each_input_of_a_request_with_several_must_agree() -> None:
    serving = answer([label("A"), label("B")], items=2)
    shadow = answer([label("A"), label("A")], items=2)
    assert compare(traffic([serving], [shadow]), LABELS).agree == 0


def test_answers_of_another_form_do_not_agree() -> None:
    found = compare(traffic([answer(label("A"))], [answer({"answer": "x"})]), LABELS)
    assert (found.same, found.agree) == (0, 0)


def test_without_a_task_agreement_is_not_known() -> None:
    found = compare(traffic([answer([1.0, 2.0])], [answer([1.0, 2.0])]), AnswerRules())
    assert (found.same, found.agree, found.agreement) == (1, None, 1.0)


@pytest.mark.parametrize(
    ("serving", "shadow", "same", "place"),
    [
        (label("A"), ERROR, 0, "only the shadow failed"),
        (ERROR, label("A"), 0, "only the serving version failed"),
        (label("A"), None, 0, "only the shadow failed"),
        (ERROR, ERROR, 1, None),
    ],
)
def test_errors_are_counted(serving: Any, shadow: Any, same: int, place: str | None) -> None:
    found = compare(traffic([answer(serving)], [answer(shadow)]), LABELS)
    assert found.same == same
    assert [one.place for one in found.differing] == ([place] if place else [])
    assert found.shadow.errors == (shadow in (ERROR, None))


def test_csv_is_compared_cell_by_cell_and_bytes_as_they_are() -> None:
    for kind, body, near, far in (
        ("text/csv; charset=utf-8", b"a,0.5\n", b"a,0.50001\n", b"b,0.5\n"),
        ("application/x-npy", b"\x93\xff1", b"\x93\xff1", b"\x93\xff2"),
        ("application/x-ndjson", b'{"a": 1.0}\n', b'{"a": 1.00001}\n', b'{"a": 2.0}\n'),
    ):
        pair = [CapturedAnswer("t", ("x",), body=each, content_type=kind) for each in (body, near)]
        other = CapturedAnswer("t", ("x",), body=far, content_type=kind)
        assert compare(traffic(pair[:1], pair[1:]), AnswerRules()).same == 1
        assert compare(traffic(pair[:1], [other]), AnswerRules()).same == 0


def test_payloads_are_shown_only_where_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    serving = [answer(label("secret A"), i, str(i), shown="my question") for i in range(2)]
    shadow = [answer(label("secret B"), i, str(i), shown="my question") for i in range(2)]
    for output in ("text", "json"):
        comparison_text.show(compare(traffic(serving, shadow), LABELS), output)
        printed = capsys.readouterr().out
        assert "secret" not in printed
        assert "my question" not in printed
        comparison_text.show(compare(traffic(serving, shadow), LABELS, show=1), output)
        printed = capsys.readouterr().out
        assert printed.count("secret B") == printed.count("my question") == 1


def test_limits_are_kept_or_told() -> None:
    slow = (RequestMetrics(9, 0, 0, 5, 10), RequestMetrics(9, 1, 0, 5, 30))
    found = compare(traffic([answer(label("A"))], [answer(label("A"))], *slow), LABELS)
    assert found.slower == 3
    assert ShadowLimits(0.5, 3).broken(found) == []
    assert "3.00 times" in ShadowLimits(None, 2).broken(found)[0]
    unknown = compare(traffic([answer(label("A"))], [answer(label("B"))]), LABELS)
    told = ShadowLimits(0.5, 2).broken(unknown)
    assert "0.0% of the answers agree" in told[0]
    assert "not known" in told[1]


def test_the_report_is_json() -> None:
    found = json.loads(compare(traffic([answer(1)], [answer(1)]), LABELS).to_json())
    assert (found["pairs"], found["agreement"], found["slower"]) == (1, 1.0, None)
    assert found["serving"]["version"] == "a" * 12


def test_the_tolerance_is_the_models(tmp_path: Path) -> None:
    golden = {"body": "{}", "answer": 1, "tolerance": 0.25}
    spec = ModelSpec.parse(
        json.dumps({"format": 1, "name": "m", "task": "tensors", "golden": golden}), "x"
    )
    assert AnswerRules.of(spec).tolerance == 0.25
    assert comparison.AnswerRules.of(spec).task == "tensors"
    assert answer(1).media_type == JSON
