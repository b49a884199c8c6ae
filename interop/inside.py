"""What is inside a dump: log, symbols and pages, beside makedumpfile and what the guest itself showed before it crashed."""

import struct
from collections import Counter

import peers

# Levels of `makedumpfile -d`.
LEVELS = (0, 1, 2, 4, 8, 16, 30, 31)
# Bits of /proc/kpageflags (include/uapi/linux/kernel-page-flags.h) that are a flag's own.
KPAGEFLAGS = {"uptodate": 3, "lru": 5, "active": 6, "swapbacked": 14, "reserved": 32}
# The guest went on between showing its pages and crashing: what it had, nearly all of it still has.
STILL = 0.95


def check(dump, facts):
    check_log(dump)
    check_symbols(dump, facts / "kallsyms.txt")
    pages = frames(dump)
    check_levels(dump, pages)
    check_flags(pages, facts / "kpageflags.bin")


def check_log(dump):
    text = dump.parent / "dmesg.txt"
    peers.run("makedumpfile", "--dump-dmesg", "-f", dump, text)
    ours = peers.kscope("dump", "dmesg", dump)
    peers.expect("log", ours.splitlines(), text.read_bytes().splitlines())
    print(f"  log: {len(ours)} bytes as makedumpfile prints them")


def check_symbols(dump, kallsyms):
    lines = [line for line in kallsyms.read_text().splitlines() if "[" not in line]
    peers.expect("symbols", peers.kscope("dump", "symbols", dump).decode().splitlines(), lines)
    print(f"  symbols: {len(lines)}")


def frames(dump):
    """Levels and names of flags of every frame that the dump describes."""
    ranges = peers.merged(
        (s["paddr"] // peers.PAGE, -(-(s["paddr"] + s["memsz"]) // peers.PAGE)) for s in peers.loads(dump)
    )
    asked = "".join(f"{start}-{end - 1}\n" for start, end in ranges)
    out = {}
    for line in peers.kscope("dump", "pages", dump, "-", stdin=asked).decode().splitlines():
        pfn, kind, *rest = line.split()
        if kind == "unknown":
            raise peers.Differs(f"frame {line}")
        if rest:
            levels, names = rest[0], rest[4]
            out[int(pfn)] = (set() if levels == "-" else {int(level) for level in levels.split(",")}, set(names.split(",")))
    return out


def check_levels(dump, pages):
    # makedumpfile leaves out a frame of which the dump describes a part.
    ends = {end for s in peers.loads(dump) for end in (s["paddr"], s["paddr"] + s["memsz"])}
    partial = {end // peers.PAGE for end in ends if end % peers.PAGE}
    for level in LEVELS:
        filtered = dump.parent / f"level{level}"
        peers.run("makedumpfile", "-l", "-d", level, dump, filtered)
        ram, kept = stored(filtered)
        ram -= partial
        ours = {pfn for pfn in ram if any(l == 0 or l & level for l in pages.get(pfn, (set(),))[0])}
        peers.expect(f"frames left out at level {level}", sorted(ours), sorted(ram - kept))
        print(f"  level {level}: {len(ours)} of {len(ram)} frames are left out")


def stored(kdump):
    """The frames of RAM and those that are stored, each by itself, by the bitmaps and descriptors of a kdump file of version 6.

    Pages left out for being zero are in the second bitmap, too: their descriptors share the first page of data.
    """
    data = kdump.read_bytes()
    block, sub, blocks = struct.unpack_from("<iiI", data, 428)
    (frames_end,) = struct.unpack_from("<Q", data, block + 96)
    first, size = (1 + sub) * block, blocks * block // 2
    maps = (data[first : first + size], data[first + size : first + 2 * size])
    ram, kept = [[pfn for pfn in range(frames_end) if bits[pfn >> 3] >> (pfn & 7) & 1] for bits in maps]
    descriptors = first + 2 * size
    offsets = [struct.unpack_from("<Q", data, descriptors + 24 * number)[0] for number in range(len(kept))]
    shared = {offset for offset, count in Counter(offsets).items() if count > 1}
    return set(ram), {pfn for pfn, offset in zip(kept, offsets) if offset not in shared}


def check_flags(pages, kpageflags):
    """The guest's own view of its pages a moment before; tails show their head's flags there, so heads and single pages only."""
    words = struct.unpack(f"<{kpageflags.stat().st_size // 8}Q", kpageflags.read_bytes())
    compound_tail, nopage = 1 << 16, 1 << 20
    compared = [pfn for pfn in pages if pfn < len(words) and not words[pfn] & (compound_tail | nopage)]
    for name, bit in KPAGEFLAGS.items():
        theirs = {pfn for pfn in compared if words[pfn] >> bit & 1}
        ours = {pfn for pfn in compared if name in pages[pfn][1]}
        still = len(theirs & ours) / max(1, len(theirs))
        print(f"  PG_{name}: {len(ours)} frames; of {len(theirs)} in /proc/kpageflags {still:.2%} have it still")
        if still < STILL or not theirs:
            raise peers.Differs(f"PG_{name}: {sorted(theirs - ours)[:10]}")
