"""A stack on MiniStack without `sam build`: the functions run on the packages of MiniStack's own environment, with the policies of their
roles enforced."""

from __future__ import annotations

import io
import os
import sys
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

import boto3

from headrace import Headrace, Settings
from headrace_infra.compile import compile_app, render
from headrace_infra.ministack import ministack

from .waiting import until

REPOSITORY = Path(__file__).parents[2]


def packed(folders: Sequence[Path]) -> bytes:
    """The library, its handlers and the app, as `sam build` would lay them out."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        for root in (REPOSITORY / "sdk", REPOSITORY / "handlers", *folders):
            for path in sorted(root.rglob("*.py")):
                bundle.write(path, path.relative_to(root))
    return buffer.getvalue()


@contextmanager
def deployed(module: str, *folders: Path, log: Path) -> Iterator[Headrace]:
    """The app `hatchet` of a module in one of the folders, deployed as a stack of the module's name. Gives a client that has nothing but the
    stack's name, right after the deployment."""
    with ministack(auth=True, log=log) as running, patch.dict(os.environ, running.environment()):
        with patch.object(sys, "path", [*map(str, folders), *sys.path]):
            app = import_module(module).hatchet
        template = compile_app(app, app_path=f"{module}:hatchet", code_uri="s3://code/bundle.zip")
        for resource in template["Resources"].values():
            resource.pop("Metadata", None)  # how `sam build` makes it
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="code")
        s3.put_object(Bucket="code", Key="bundle.zip", Body=packed(folders))
        s3.put_object(
            Bucket="code", Key="template.yaml", Body=render(template, app_path=f"{module}:hatchet").encode()
        )
        formation = boto3.client("cloudformation")
        formation.create_stack(
            StackName=module,
            TemplateURL=f"{os.environ['AWS_ENDPOINT_URL']}/code/template.yaml",  # a body holds 51,200 bytes at most
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND", "CAPABILITY_NAMED_IAM"],
        )

        def status() -> str:
            return str(formation.describe_stacks(StackName=module)["Stacks"][0]["StackStatus"])

        until(lambda: not status().endswith("IN_PROGRESS"), within_s=90, what="the stack was deployed")
        assert status() == "CREATE_COMPLETE"
        yield Headrace(config=Settings(stack=module))
