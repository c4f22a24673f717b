"""The template as YAML, with CloudFormation's short tags."""

from __future__ import annotations

import re
from typing import Any

import yaml

TAGS = {
    "Ref": "!Ref",
    "Fn::Sub": "!Sub",
    "Fn::GetAtt": "!GetAtt",
    "Fn::If": "!If",
    "Fn::Equals": "!Equals",
    "Fn::Not": "!Not",
    "Fn::Join": "!Join",
}
WIDTH = 120
_QUOTED = re.compile(r"(!Ref|!GetAtt) '([\w:.]+)'")
"""PyYAML quotes every tagged scalar; these need no quotes."""


class _Dumper(yaml.SafeDumper):
    """Indents lists under their key, uses no anchors, and writes intrinsic functions as tags."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _mapping(dumper: _Dumper, data: dict[str, Any]) -> yaml.Node:
    if len(data) == 1:
        ((name, value),) = data.items()
        if name in TAGS:
            return _intrinsic(dumper, TAGS[name], value)
    return dumper.represent_mapping("tag:yaml.org,2002:map", data.items())


def _intrinsic(dumper: _Dumper, tag: str, value: Any) -> yaml.Node:
    if tag == "!GetAtt":
        return dumper.represent_scalar(tag, ".".join(value))
    if isinstance(value, str):
        return dumper.represent_scalar(tag, value)
    return dumper.represent_sequence(tag, value, flow_style=True)


_Dumper.add_representer(dict, _mapping)


def render(template: dict[str, Any], *, app_path: str | None = None) -> str:
    """The template's text: the same for the same template."""
    source = f" {app_path}" if app_path else ""
    head = f"# Compiled by `headrace compile{source}`: change the app and compile again, rather than this file.\n"
    text = yaml.dump(template, Dumper=_Dumper, sort_keys=False, width=WIDTH, allow_unicode=True)
    return head + _QUOTED.sub(r"\1 \2", text)
