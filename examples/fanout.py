"""Map and reduce over real files: one child run a package, then one total.

Run it: python examples/fanout.py
"""

from pydantic import BaseModel

from headrace import Context
from measure import STDLIB, measure_source
from quickstart import hatchet
from runtime import running


class Library(BaseModel):
    packages: list[str]


class Package(BaseModel):
    package: str


class Size(BaseModel):
    package: str
    files: int
    lines: int
    functions: int


class Sizes(BaseModel):
    sizes: list[Size]
    lines: int


@hatchet.task(name="map-package", input_validator=Package)
def map_package(input: Package, ctx: Context) -> Size:
    files = sorted((STDLIB / input.package).glob("*.py"))
    modules = [measure_source(path, attempts=ctx.attempt_number) for path in files]
    return Size(
        package=input.package,
        files=len(modules),
        lines=sum(module.lines for module in modules),
        functions=sum(module.functions for module in modules),
    )


@hatchet.task(name="reduce-library", input_validator=Library)
async def reduce_library(input: Library, ctx: Context) -> Sizes:
    sizes = await map_package.aio_run_many(
        [map_package.create_bulk_run_item(input=Package(package=package)) for package in input.packages]
    )
    ranked = sorted(sizes, key=lambda size: size.lines, reverse=True)
    return Sizes(sizes=ranked, lines=sum(size.lines for size in ranked))


def main() -> None:
    packages = sorted(path.parent.name for path in STDLIB.glob("*/__init__.py") if path.parent.name != "test")
    with running(hatchet):
        result = reduce_library.run(Library(packages=packages))
    for size in result.sizes[:10]:
        print(f"{size.package:16} {size.files:4} files {size.lines:7,} lines {size.functions:6,} functions")
    print(f"{len(result.sizes)} packages, {result.lines:,} lines")


if __name__ == "__main__":
    main()
