"""Tags that deploy.toml says otherwise than they are, on what is there already. Only keys that we
set before are taken away: the tag onnxferry:tags says which those are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from onnxferry.infra.plan import Action, Step
from onnxferry.infra.sagemaker.alarms import AlarmState
from onnxferry.infra.sagemaker.names import KEYS_TAG, Names, key_digits, keys_of, tags
from onnxferry.infra.sagemaker.state import BROKEN, CurrentState

_DIGITS = len(key_digits(""))


def changed_tags(state: CurrentState, model: str, *configs: str) -> Iterator[Step]:
    """A step for the endpoint, the `model` and the `configs` each, where its tags are others."""
    main = state.main
    if main and main.state not in {*BROKEN, "Deleting"}:
        yield from _changed(state.names, "endpoint", main.name, main.arn, main.tags)
    hosting = (("endpoint configuration", one, state.configs) for one in dict.fromkeys(configs))
    for kind, name, known in (("model", model, state.models), *hosting):
        there = known.get(name)
        if there:
            yield from _changed(state.names, kind, name, there.arn, there.tags)


def changed_alarm_tags(names: Names, alarm: AlarmState) -> Iterator[Step]:
    """The same for an alarm, whose tags CloudWatch keeps."""
    for step in _changed(names, "alarm", alarm.name, alarm.arn, alarm.tags):
        yield replace(step, operation="change_alarm_tags")


def _changed(
    names: Names, kind: str, name: str, arn: str, found: Mapping[str, str]
) -> Iterator[Step]:
    given = names.settings.tags
    wanted = {**given, KEYS_TAG: keys_of(given)} if given else {}
    changed = {key: value for key, value in wanted.items() if found.get(key) != value}
    gone = sorted(key for key in found if key not in wanted and set_before(key, found))
    if changed or gone:
        request = {"ResourceArn": arn, "Tags": tags(changed), "TagKeys": gone}
        yield Step(Action.UPDATE, f"tags of {kind}", name, "change_tags", request)


def set_before(key: str, found: Mapping[str, str]) -> bool:
    """Whether we set the tag `key`, as the record among the tags `found` says."""
    record = found.get(KEYS_TAG, "")
    known = {record[i : i + _DIGITS] for i in range(0, len(record), _DIGITS)}
    ours = key.startswith("onnxferry:")
    return key == KEYS_TAG or (not ours and key_digits(key) in known)
