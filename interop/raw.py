"""Memory without headers, beside the dump of the same stopped machine: whatever is asked, both answer alike."""

import subprocess

import peers


def check(dump, arch, ram, vmcoreinfo, addresses):
    """`ram` are files of memory by the address where each begins; `vmcoreinfo` is a file with what the kernel says of itself."""
    memory = dump.with_name("ram.all")
    told = ["--vmcoreinfo", vmcoreinfo]
    raw = ["--memory-of", arch]
    with open(memory, "wb") as file:
        for start, piece in sorted(ram.items()):
            size = file.write(piece.read_bytes())
            raw += ["--memory-at", f"{start:x}-{start + size - 1:x}"]
    asked = "".join(f"{address:#x}\n" for address in addresses)
    areas = [(start, min(piece.stat().st_size, 1 << 20)) for start, piece in ram.items()]
    reads = [(["read"], ["--phys", f"{start:x}", f"{size}", "--raw"]) for start, size in areas]
    sizes = {}
    for question, more in [(["vmcoreinfo"], []), (["dmesg"], []), (["symbols"], []), (["mappings"], []), (["vtop"], ["-"]), *reads]:
        theirs = answer(*question, dump, *told, *more, stdin=asked)
        ours = answer(*question, memory, *raw, *told, *more, stdin=asked)
        peers.expect(f"{question[0]} {more} of memory without headers", ours, theirs)
        status, out = ours
        peers.expect(f"{question[0]}: exit status", status, 0)
        sizes[question[0]] = sizes.get(question[0], 0) + (len(out) if question == ["read"] else out.count(b"\n"))
    memory.unlink()
    log, symbols, extents = (sizes[name] for name in ("dmesg", "symbols", "mappings"))
    if not (log and symbols and extents):
        raise peers.Differs(f"nothing was found: {sizes}")
    print(
        f"  memory without headers, {len(ram)} pieces: {log} lines of the log, {symbols} symbols, {extents} extents, "
        f"{sizes['vtop']} translations, {sizes['read'] >> 10} KiB as from the dump"
    )


def answer(question, *words, stdin):
    """Exit status and standard output."""
    command = [str(word) for word in (peers.KSCOPE, "dump", question, *words)]
    done = subprocess.run(command, input=stdin.encode(), capture_output=True, check=False)
    return done.returncode, done.stdout
