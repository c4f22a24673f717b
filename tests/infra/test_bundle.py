"""A bundle: what is locked is installed by its hashes, what is not is said, and its bill of materials names what is in it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from headrace_infra.bundle import LOCK, BundleError, Target, build
from headrace_infra.materials import write_materials

HERE = f"python3.{sys.version_info.minor}"


def wheel(folder: Path, name: str, version: str, *needs: str) -> Path:
    """A package as pip takes it."""
    about = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\nLicense-Expression: MIT\n"
    metadata += "".join(f"Requires-Dist: {each}\n" for each in needs)
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{about}/METADATA": metadata,
        f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    digests = {
        path: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
        for path, text in files.items()
    }
    record = (
        "".join(f"{path},sha256={digests[path]},{len(text)}\n" for path, text in files.items())
        + f"{about}/RECORD,,\n"
    )
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as packed:
        for inner, text in {**files, f"{about}/RECORD": record}.items():
            packed.writestr(inner, text)
    return path


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An app's folder, beside an index that is a folder."""
    for name in ("app", "index"):
        (tmp_path / name).mkdir()
    wheel(tmp_path / "index", "hr_one", "1.0", "hr_two>=1")
    wheel(tmp_path / "index", "hr_two", "1.5")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    (tmp_path / "app" / "app.py").write_text("import hr_one\n")
    (tmp_path / "app" / "requirements.txt").write_text("hr_one\n")
    return tmp_path / "app"


def lock(source: Path, *names: str) -> None:
    lines = []
    for path in sorted((source.parent / "index").glob("*.whl")):
        name, version = path.name.split("-")[:2]
        if name in names:
            lines.append(f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n")
    (source / LOCK).write_text("".join(lines))


def built(source: Path) -> Path:
    out = source.parent / "out"
    build(Target(runtime=HERE, architecture="x86_64", source=str(source)), out)
    return out


def test_what_is_locked_is_built_and_named(source: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lock(source, "hr_one", "hr_two")
    wheel(source.parent / "index", "hr_two", "1.6")  # newer, and not what was locked
    out = built(source)
    assert "1.5" in (out / "hr_two.py").read_text()
    assert "hashes" not in capfd.readouterr().err
    bill = json.loads((out / "sbom.cdx.json").read_text())
    assert (bill["bomFormat"], bill["specVersion"], bill["metadata"]["component"]["name"]) == (
        "CycloneDX",
        "1.6",
        "app",
    )
    assert [part["purl"] for part in bill["components"]] == ["pkg:pypi/hr-one@1.0", "pkg:pypi/hr-two@1.5"]
    assert bill["components"][0]["licenses"] == [{"expression": "MIT"}]
    before = (out / "sbom.cdx.json").read_bytes()
    assert write_materials(out, name="app").read_bytes() == before, "the same bundle has the same bill"


def test_what_is_not_locked_is_said(source: Path, capfd: pytest.CaptureFixture[str]) -> None:
    built(source)
    said = capfd.readouterr().err
    assert re.search(
        r"requirements\.txt has no hashes, so the bundle has what the package index gives today: lock it with",
        said,
    )


def test_a_package_that_was_changed_is_not_built(source: Path) -> None:
    lock(source, "hr_one", "hr_two")
    wheel(source.parent / "index", "hr_two", "1.5", "hr_one")
    with pytest.raises(BundleError, match=rf"pip could not install .*{LOCK}"):
        built(source)


def test_a_lock_that_lacks_something_is_refused(source: Path) -> None:
    lock(source, "hr_one")
    with pytest.raises(BundleError, match=rf"hr_one needs hr_two, and .*{LOCK} does not have it"):
        built(source)


def test_the_examples_are_built_from_a_lock_that_has_all_that_headrace_needs() -> None:
    root = Path(__file__).parents[2]
    locked = (root / "examples" / LOCK).read_text()
    pins = {
        name.lower(): hashes
        for name, hashes in re.findall(r"^([\w.-]+)==(.*(?:\n +--hash.*)+)", locked, re.M)
    }
    needed = tomllib.loads((root / "pyproject.toml").read_text())["project"]["dependencies"]
    for each in needed:
        name = re.match(r"[\w.-]+", each)
        assert name is not None
        assert "--hash=sha256:" in pins[name[0].lower()], each
