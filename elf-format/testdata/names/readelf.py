#!/usr/bin/env python3
"""What readelf prints of `EI_OSABI`, of no machine, and of `e_machine`, a line for each value that it has a name for:
`readelf.py > readelf.txt`."""
import pathlib, struct, subprocess, tempfile


def header(os_abi, machine):
    """An ELF64 header and nothing else."""
    return struct.pack("<4s4B8xHHIQQQI6H", b"\x7fELF", 2, 1, 1, os_abi, 2, machine, 1, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0)


def print_names(field, headers):
    with tempfile.TemporaryDirectory() as folder:
        for start in range(0, len(headers), 4096):
            paths = [pathlib.Path(folder, f"{value:05}") for value in range(start, min(start + 4096, len(headers)))]
            for path in paths:
                path.write_bytes(headers[int(path.name)])
            printed = subprocess.run(["readelf", "-h", *paths], capture_output=True, text=True, check=False).stdout
            rows = [line.split(":", 1)[1].strip() for line in printed.splitlines() if line.startswith(f"  {field}:")]
            assert len(rows) == len(paths)
            for value, row in enumerate(rows, start):
                if not row.startswith("<unknown"):
                    print(f"{field} {value:#x} {row}")


print_names("OS/ABI", [header(os_abi, 0) for os_abi in range(1 << 8)])
print_names("Machine", [header(0, machine) for machine in range(1 << 16)])
