#!/usr/bin/env python3
"""What every file of the repository must hold to, and what every package must hold."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOM_LINES = 700
LARGE = 1 << 20
# Files over that size: name and limit.
ALLOWED_LARGE = {"testdata/kdump.elf": 2 << 20}
# Folders that exist on one machine only. Written so that this line is none of them.
MACHINE_PATHS = re.compile(r"(?<![\w.$}])/(?:work|root|home)/\w|/tmp/(?:lab|target)\b")
LEFTOVERS = re.compile(r"\b(?:TO" r"DO|FIX" r"ME)\b|\bdb" r"g!\s*\(")
SOURCES = {".rs", ".py", ".sh", ".c", ".toml", ".md", ""}
PACKAGED = ("Cargo.toml", "README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE")


def output(*command):
    return subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout


def files():
    names = output("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    return [ROOT / name for name in names if name and os.path.lexists(ROOT / name)]


def check_file(path):
    name = path.relative_to(ROOT)
    if path.is_symlink():
        if not path.resolve().is_relative_to(ROOT) or not path.exists():
            yield f"{name}: links to nothing in the repository"
        return
    limit = ALLOWED_LARGE.get(str(name), LARGE)
    if path.stat().st_size > limit:
        yield f"{name}: {path.stat().st_size} bytes; the limit is {limit}"
    if path.suffix not in SOURCES or name.suffix == "" and "testdata" in name.parts:
        return
    try:
        lines = path.read_text().splitlines()
    except UnicodeDecodeError:
        return
    for number, line in enumerate(lines, 1):
        if MACHINE_PATHS.search(line):
            yield f"{name}:{number}: a path of one machine"
        if LEFTOVERS.search(line):
            yield f"{name}:{number}: left over from work"
    if path.suffix == ".rs" and "src" in name.parts and len(lines) > ROOM_LINES:
        yield f"{name}: {len(lines)} lines; a room has at most {ROOM_LINES}"


def check_package(package):
    name = package["name"]
    library = not any("bin" in target["kind"] for target in package["targets"])
    for field in ("description", "license", *(["rust_version"] if library else [])):
        if not package[field]:
            yield f"{name}: Cargo.toml lacks `{field}`"
    folder = Path(package["manifest_path"]).parent
    if missing := [wanted for wanted in PACKAGED if not (folder / wanted).exists()]:
        yield f"{name}: there is no {', '.join(missing)}"
        return
    listed = output("cargo", "package", "--quiet", "--list", "--locked", "--allow-dirty", "-p", name).splitlines()
    for wanted in PACKAGED:
        if wanted not in listed:
            yield f"{name}: its package lacks {wanted}"
    for file in listed:
        if copyleft := next((p for p in (folder / file).parents if holds_gpl(p)), None):
            yield f"{name}: its package has {file}; {copyleft.relative_to(ROOT)} holds parts of GPL programs"


def holds_gpl(folder):
    """`testdata/` whose README names the GPL: its `kernel/` where there is one, or else all of it."""
    if folder.name == "kernel" and folder.parent.name == "testdata":
        return True
    readme = folder / "README.md"
    named = folder.name == "testdata" and readme.exists() and "GPL-" in readme.read_text()
    return named and not (folder / "kernel").exists()


def main():
    everything = files()
    problems = [problem for path in everything for problem in check_file(path)]
    packages = json.loads(output("cargo", "metadata", "--locked", "--no-deps", "--format-version", "1"))["packages"]
    published = [package for package in packages if package["publish"] is None]
    problems += [problem for package in published for problem in check_package(package)]
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(everything)} files and {len(published)} packages checked")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
