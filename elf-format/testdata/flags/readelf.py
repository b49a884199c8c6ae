#!/usr/bin/env python3
"""What readelf prints of `e_flags`, a line for each machine and value: `readelf.py [RANDOM_VALUES] > readelf.txt`."""
import pathlib, random, struct, subprocess, sys, tempfile

# EM_68K, EM_MIPS, EM_PARISC, EM_PPC, EM_PPC64, EM_S390, EM_ARM, EM_SH, EM_SPARCV9, EM_IA_64, EM_RISCV, EM_LOONGARCH;
# two without words; EM_MIPS_RS3_LE, EM_OPENRISC, EM_BLACKFIN, EM_TI_C6000.
MACHINES = 4, 8, 15, 20, 21, 22, 40, 42, 43, 50, 243, 258, 62, 183, 10, 92, 106, 140
# Values of several bits, those of Linux kernels first.
VALUES = {
    8: [0x80000001, 0xA0000001, 0x70001001] + [cpu << 16 for cpu in range(0x80, 0xA8)] + [isa << 28 for isa in range(16)]
    + [abi << 12 for abi in range(16)],
    15: [0x20B, 0x210, 0x214],
    21: [3],
    40: [0x5000200, 0x5000400] + [eabi << 24 | 1 << bit for eabi in range(1, 7) for bit in range(24)],
    42: range(1, 0x20),
    50: [0xC0],
    243: [5, 6, 7],
    258: [0x43, 0x41, 0x3, 0x80, 0xC0],
    4: [*range(1, 0x10), 0x30, 0x01000001, 0x02000001, 0x03000000, 0x00810000, 0x00818000, 0x00FF0000],
    43: [3],
}


def header(machine, flags):
    """An ELF64 header and nothing else."""
    return struct.pack("<4s4B8xHHIQQQI6H", b"\x7fELF", 2, 1, 1, 0, 2, machine, 1, 0, 0, 0, flags, 64, 0, 0, 0, 0, 0)


def main():
    more = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    random.seed(0)
    for machine in MACHINES:
        values = {1 << bit for bit in range(32)} | {0, 0xFFFFFFFF} | set(VALUES.get(machine, []))
        values = sorted(values | {random.getrandbits(32) >> random.randrange(28) for _ in range(more)})
        with tempfile.TemporaryDirectory() as folder:
            paths = [pathlib.Path(folder, f"{flags:08x}") for flags in values]
            for path, flags in zip(paths, values):
                path.write_bytes(header(machine, flags))
            printed = subprocess.run(["readelf", "-h", *paths], capture_output=True, text=True, check=False).stdout
        rows = [line.split(":", 1)[1].strip() for line in printed.splitlines() if line.startswith("  Flags:")]
        assert len(rows) == len(values)
        for row in rows:
            print(f"{machine:#x} {row}")


main()
