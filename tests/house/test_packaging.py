"""What an installation holds, and that every package in it is pinned."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LIST_DATA = """
import os
from setuptools.dist import Distribution
distribution = Distribution()
distribution.parse_config_files()
build = distribution.get_command_obj("build_py")
build.ensure_finalized()
for package, source, _, files in build.data_files:
    print(*(os.path.join(source, file) for file in files), sep="\\n")
for package in distribution.packages:
    print(os.path.join(*package.split("."), "__init__.py"))
"""


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def requirements_of(name: str, extras: set[str]) -> list[Requirement]:
    found: list[Requirement] = []
    for text in metadata.requires(name) or []:
        requirement = Requirement(text)
        marker = requirement.marker
        if not marker or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            found.append(requirement)
    return found


def closure() -> set[str]:
    """Every package that the project with its tools needs on this platform."""
    texts = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]
    waiting = [Requirement(text) for text in texts]
    done: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement = waiting.pop()
        key = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if key not in done:
            done.add(key)
            waiting += requirements_of(requirement.name, requirement.extras)
    return {name for name, _ in done}


def test_every_package_is_pinned_once_for_every_platform() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    names = [line.partition("==")[0] for line in lines if line and not line.startswith("#")]
    assert names == sorted(set(names))
    assert all(re.fullmatch(r"[0-9.]+(b[0-9]+)?", version) for version in pins().values())
    # The CUDA packages of a GPU build are pinned by torch's own wheel.
    gpu = {name for name in closure() if name.startswith(("nvidia-", "cuda-")) or name == "triton"}
    assert closure() - gpu - set(pins()) == set()


def test_every_imported_package_is_a_dependency() -> None:
    owners = metadata.packages_distributions()
    extras = PROJECT["optional-dependencies"]
    texts = [
        *PROJECT["dependencies"],
        *(t for name in extras if name != "dev" for t in extras[name]),
    ]
    declared = {canonicalize_name(Requirement(text).name) for text in texts}
    undeclared: dict[str, list[str]] = {}
    for path in [*(ROOT / "bas_tui").rglob("*.py"), *(ROOT / "engine").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            else:
                continue
            for name in {name.partition(".")[0] for name in names} - sys.stdlib_module_names:
                known = {canonicalize_name(owner) for owner in owners.get(name, [])}
                known.add(canonicalize_name(name))
                if name not in ("bas_tui", "engine") and not known & declared:
                    undeclared.setdefault(name, []).append(path.name)
    assert undeclared == {}


def test_the_environment_has_the_pinned_versions() -> None:
    """The packages of the extra `docs` may be missing: only `make docs` installs them."""
    needed, installed = closure(), {}
    for name, version in pins().items():
        try:
            installed[name] = metadata.version(name).partition("+")[0]
        except metadata.PackageNotFoundError:
            assert name not in needed
            installed[name] = version
    assert installed == pins()


def test_minimum_versions_admit_the_pins() -> None:
    extras = PROJECT["optional-dependencies"]
    texts = [*PROJECT["dependencies"], *extras["dev"], *extras["docs"]]
    for requirement in map(Requirement, texts):
        pinned = pins()[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(pinned), requirement


def test_every_file_is_packaged() -> None:
    """Every folder of modules is a package, and package-data matches every file beside them.

    Only the room that made the embedded model stays at home.
    """
    listing = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LIST_DATA],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    packaged = {os.path.normpath(line) for line in listing.stdout.splitlines()}
    there = {
        str(path.relative_to(ROOT))
        for package in ("bas_tui", "engine")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    } | {
        str(path.parent.relative_to(ROOT) / "__init__.py")
        for package in ("bas_tui", "engine")
        for path in (ROOT / package).rglob("*.py")
    }
    recipe = os.path.join("engine", "pocket", "recipe", "")
    assert {path for path in there - packaged if not path.startswith(recipe)} == set()
    assert not [path for path in packaged if path.startswith(recipe)]
    assert "engine/pocket/model/model_index.json" in packaged


def test_licence_files_exist() -> None:
    for name in PROJECT["license-files"]:
        assert any(path.is_file() for path in ROOT.glob(name)), name
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert (ROOT / PROJECT["readme"]).is_file()
