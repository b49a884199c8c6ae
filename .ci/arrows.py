#!/usr/bin/env python3
"""The arrows of ARCHITECTURE: which crate may use which; and no C below the command.

Reads `cargo metadata`; a workspace member that is not in the table is an error, so a new crate names its floor here.
"""

import json
import subprocess
import sys

ARROWS = {
    "physmem": set(),
    "elf-format": set(),
    "e820": {"physmem"},
    "bootimg": {"elf-format"},
    "page-walk": {"physmem"},
    "vmcore-format": {"physmem", "elf-format", "page-walk"},
    "kexec-format": {"physmem", "e820", "bootimg", "elf-format", "vmcore-format"},
}
COMMAND = "kscope"
# Never published; may use everything.
BESIDE = {"fuzz", "benches", "interop"}
C_BUILDERS = {"cc", "cmake", "pkg-config", "bindgen", "nasm-rs"}
# Rust in spite of its name.
NOT_C = {"libbz2-rs-sys"}


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def main():
    metadata = json.loads(cargo("metadata", "--locked", "--no-deps", "--format-version", "1"))
    members = {package["name"]: package for package in metadata["packages"]}
    problems = []
    for name, package in members.items():
        used = {d["name"] for d in package["dependencies"] if d["kind"] != "dev"} & members.keys()
        if name in BESIDE:
            if package["publish"] != []:
                problems.append(f"{name}: lacks `publish = false`")
            continue
        if name == COMMAND:
            allowed = ARROWS.keys()
        elif name in ARROWS:
            allowed = ARROWS[name]
            problems += [f"{name}: {dependency} brings C into the default features" for dependency in c_in(name)]
        else:
            problems.append(f"{name}: on no floor; the table in .ci/arrows.py lacks it")
            continue
        problems += [f"{name} -> {other}: no such arrow" for other in sorted(used - allowed)]
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(members)} workspace members checked")
    return 1 if problems else 0


def c_in(library):
    """Crates in a library's own dependency tree, default features on, that build or bind C."""
    tree = cargo("tree", "--locked", "-p", library, "-e", "normal,build", "--prefix", "none", "--format", "{p}")
    names = {line.split()[0] for line in tree.splitlines() if line}
    return sorted(n for n in names if n in C_BUILDERS or (n.endswith("-sys") and n not in NOT_C))


if __name__ == "__main__":
    sys.exit(main())
