"""The bill of materials of a bundle: what is in it, as CycloneDX 1.6 (ECMA-424), read from what pip installed there.

Like `bundle`, it imports the standard library only and runs wherever a build does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

FILE = "sbom.cdx.json"


def write_materials(into: Path, *, name: str) -> Path:
    """Write the bill of the bundle in `into`, which is of the app `name`. The same bundle gives the same bytes: it has neither time nor serial number."""
    parts = sorted(
        (_component(each) for each in into.glob("*.dist-info")), key=lambda part: str(part["purl"])
    )
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": "app", "name": name}},
        "components": parts,
        "dependencies": [{"ref": "app", "dependsOn": [part["bom-ref"] for part in parts]}],
    }
    path = into / FILE
    path.write_text(json.dumps(bill, indent=1, sort_keys=True) + "\n")
    return path


def _component(folder: Path) -> dict[str, Any]:
    about = HeaderParser().parsestr((folder / "METADATA").read_text(encoding="utf-8", errors="replace"))
    name, version = str(about["Name"]), str(about["Version"])
    purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
    out: dict[str, Any] = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    licences = list(_licences(about["License-Expression"], about["License"]))
    if licences:
        out["licenses"] = licences
    record = folder / "RECORD"
    if record.exists():  # the digests of all its files: another build of the same version has another one
        digest = hashlib.sha256(_without_bytecode(record)).hexdigest()
        out["properties"] = [{"name": "headrace:record-sha256", "value": digest}]
    return out


def _without_bytecode(record: Path) -> bytes:
    lines = [line for line in record.read_text(errors="replace").splitlines() if "__pycache__" not in line]
    return "\n".join(sorted(lines)).encode()


def _licences(expression: str | None, text: str | None) -> Iterable[dict[str, Any]]:
    if expression:
        yield {"expression": expression}
    elif text and "\n" not in text and len(text) < 100:
        yield {"license": {"name": text}}
