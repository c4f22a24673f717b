"""The one loader of apps for tools: `module:attribute` from a folder, and what is wrong with it in the user's own lines."""

from __future__ import annotations

import difflib
import inspect
import re
import sys
import sysconfig
import traceback
from pathlib import Path
from types import ModuleType

import headrace
import headrace_handlers
from headrace.app import Headrace
from headrace.definitions.workflow import Workflow
from headrace.errors import CompileError, HeadraceError
from headrace_handlers.boot import import_app

OWN = tuple(str(Path(each).parent) for each in (headrace.__file__, headrace_handlers.__file__, __file__))
INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


class AppBroken(HeadraceError):
    """The app's own code raised while it was imported: the place, the message, and the user's frames."""


def check_app_path(app_path: str) -> None:
    """CompileError unless it reads `module:attribute`."""
    if re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", app_path):
        return
    stem = app_path.partition(":")[0].removesuffix(".py").replace("/", ".").strip(".")
    hint = f"{stem}:hatchet" if re.fullmatch(r"[A-Za-z_][\w.]*", stem) else "app:hatchet"
    raise CompileError(f"{app_path!r} names no app: give module:attribute, such as {hint}")


def load_app(app_path: str, folder: Path | None = None) -> Headrace:
    """The app that `module:attribute` names, its module looked for in `folder` (default: the current one) first.

    CompileError where there is none; AppBroken, with the user's file and line, where its code raises.
    """
    check_app_path(app_path)
    place = (folder or Path.cwd()).resolve()
    if str(place) not in sys.path:
        sys.path.insert(0, str(place))
    name, attribute = app_path.split(":")
    try:
        found = import_app(app_path)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise CompileError(f"there is no module {name} in {place}: {_nearby(name, place)}") from error
        raise AppBroken(described(error, place)) from error
    except (Exception, SystemExit) as error:
        raise AppBroken(described(error, place)) from error
    if not isinstance(found, Headrace):
        raise CompileError(_not_an_app(sys.modules[name], name, attribute))
    return found


def _nearby(module: str, place: Path) -> str:
    """The modules of the folder that mention an app, or where to run the command."""
    names = [each.stem for each in sorted(place.glob("*.py")) if re.search(r"\b(Headrace|Hatchet)\(", each.read_text(errors="replace"))]  # fmt: skip
    close = difflib.get_close_matches(module, names, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"there is an app in {', '.join(names)}" if names else "run this in the app's folder"


def _not_an_app(module: ModuleType, name: str, attribute: str) -> str:
    apps = [key for key, value in vars(module).items() if isinstance(value, Headrace)]
    close = difflib.get_close_matches(attribute, apps, n=1) or apps
    hint = (
        f"did you mean {name}:{close[0]}?"
        if close
        else f"{name} has no Headrace(): make one, such as hatchet = Headrace()"
    )
    if not hasattr(module, attribute):
        return f"module {name} has no {attribute}: {hint}"
    return f"{name}:{attribute} is a {type(getattr(module, attribute)).__name__}, not an app: {hint}"


# ---------------------------------------------------------------- the user's frames


def described(error: BaseException, place: Path) -> str:
    """An error of the user's code: `file:line: Type: message`, then the user's frames, innermost last."""
    message = (
        str(error) if isinstance(error, HeadraceError) else f"{type(error).__name__}: {error}{_meant(error)}"
    )
    if isinstance(error, SystemExit):
        message = (
            f"SystemExit({error.code!r}) ended the import: start things only under if __name__ == '__main__'"
        )
    if isinstance(error, SyntaxError) and error.filename is not None:
        line = (error.text or "").rstrip()
        mark = " " * max(0, (error.offset or 1) - 1) + "^"
        return f"{_short(error.filename, place)}:{error.lineno}: {type(error).__name__}: {error.msg}\n    {line}\n    {mark}"
    frames = user_frames(error, place)
    if not frames:
        return message
    where = f"{_short(frames[-1].filename, place)}:{frames[-1].lineno}: {message}"
    lines = [f"  {_short(each.filename, place)}:{each.lineno} in {each.name}: {each.line}" for each in frames]
    return "\n".join([where, *lines])


def _meant(error: BaseException) -> str:
    """After a keyword that a method of Headrace does not take: the one that is spelt nearly so."""
    found = re.search(r"^(\w+)\.(\w+)\(\) got an unexpected keyword argument '(\w+)'", str(error))
    owner = {"Headrace": Headrace, "Workflow": Workflow}.get(found[1]) if found else None
    if found is None or owner is None:
        return ""
    close = difflib.get_close_matches(found[3], inspect.signature(getattr(owner, found[2])).parameters, n=1)
    return f": did you mean {close[0]!r}?" if close else ""


def user_frames(error: BaseException, place: Path) -> list[traceback.FrameSummary]:
    """The frames of the user's own files: neither Headrace's, nor installed packages', nor the interpreter's."""
    return [each for each in traceback.extract_tb(error.__traceback__) if _is_users(each.filename, place)]


def _is_users(filename: str, place: Path) -> bool:
    if filename.startswith("<"):
        return False
    path = str(Path(filename).resolve())
    if any(path.startswith(f"{folder}/") for folder in (*OWN, *INSTALLED)):
        return False
    return "site-packages" not in Path(path).parts or path.startswith(f"{place}/")


def _short(filename: str, place: Path) -> str:
    path = Path(filename).resolve()
    return str(path.relative_to(place)) if path.is_relative_to(place) else str(path)
