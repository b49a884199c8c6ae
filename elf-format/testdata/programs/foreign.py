#!/usr/bin/env python3
"""Programs for machines without an assembler at hand: one load-immediate a register, then an
instruction that does not exist. Writes arm, arm64, loongarch64, mips, mips64, ppc, ppc64 and ppc64le."""
import os
import struct


def program(name, machine, bits, order, instructions, flags):
    base = 0x10000
    code = b"".join(struct.pack(order + "I", word) for word in instructions)
    ident = b"\x7fELF" + bytes([bits // 32, 1 if order == "<" else 2, 1]) + bytes(9)
    header, segment = (64, 56) if bits == 64 else (52, 32)
    word = "Q" if bits == 64 else "I"
    start = header + segment
    size = start + len(code)
    out = ident + struct.pack(
        order + "HHI" + 3 * word + "IHHHHHH",
        2, machine, 1, base + start, header, 0, flags, header, segment, 1, 0, 0, 0)
    if bits == 64:
        out += struct.pack(order + "IIQQQQQQ", 1, 7, 0, base, base, size, size, 0x1000)
    else:
        out += struct.pack(order + "IIIIIIII", 1, 0, base, base, size, size, 7, 0x1000)
    with open(name, "wb") as file:
        file.write(out + code)
    os.chmod(name, 0o755)


# movz xD, #0x1000+D
program("arm64", 183, 64, "<", [0xD2800000 | (0x1000 + d) << 5 | d for d in range(31)] + [0], 0)
# mov rD, #0x40+D
program("arm", 40, 32, "<", [0xE3A00000 | d << 12 | 0x40 + d for d in range(15)] + [0xE7F000F0],
        0x05000000)
# li rD, 0x1000+D; mtlr r5; mtctr r6. ELFv2 in either order: in ELFv1 the entry is no instruction.
for name, order in ("ppc64", ">"), ("ppc64le", "<"):
    program(name, 21, 64, order,
            [14 << 26 | d << 21 | 0x1000 + d for d in range(32)] + [0x7CA803A6, 0x7CC903A6, 0], 2)
# The same in 32 bits.
program("ppc", 20, 32, ">",
        [14 << 26 | d << 21 | 0x1000 + d for d in range(32)] + [0x7CA803A6, 0x7CC903A6, 0], 0)
# ori $D, $0, 0x1000+D; mtlo $5; mthi $6; a word that is no instruction of either
for name, bits, flags in ("mips", 32, 0x50001000), ("mips64", 64, 0x60000000):
    program(name, 8, bits, ">",
            [13 << 26 | d << 16 | 0x1000 + d for d in range(1, 32)] + [5 << 21 | 0x13, 6 << 21 | 0x11, 0x3D], flags)
# addi.d rD, r0, 0x100+D
program("loongarch64", 258, 64, "<",
        [0x02C00000 | (0x100 + d) << 10 | d for d in range(1, 32)] + [0], 3)
