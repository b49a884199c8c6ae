"""One guest under QEMU, without KVM: started, waited for, asked over QMP, and ended."""

import json
import subprocess
import tarfile
import time
from pathlib import Path


class Failed(Exception):
    """The guest did not do what was asked; the message ends with its serial console."""


class Machine:
    """A machine of two processors that `command` describes; what it writes goes to `work`."""

    def __init__(self, work, command):
        self.work = Path(work)
        self.work.mkdir(exist_ok=True)
        self.serial = self.work / "serial.log"
        self.errors = self.work / "qemu.err"
        command = [*command, "-accel", "tcg", "-smp", "2", "-nic", "none", "-display", "none", "-no-reboot"]
        command += ["-serial", f"file:{self.serial}", "-qmp", "stdio"]
        with open(self.errors, "wb") as errors:
            pipe = subprocess.PIPE
            self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors)
        self.answer()
        self.qmp("qmp_capabilities")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def log(self):
        return self.serial.read_text(errors="replace") if self.serial.exists() else ""

    def fail(self, why):
        tail = "\n".join(self.log().splitlines()[-40:])
        raise Failed(f"{why}\n{self.errors.read_text()}--- end of the guest's serial console ---\n{tail}")

    def wait_for(self, marker, seconds):
        """Waits until `marker` is on the serial console; returns its line from there.

        A line may have the kernel's in front: both write to the console, and neither waits for the other's line to end.
        """
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            ended = self.process.poll() is not None
            for line in self.log().splitlines():
                if (start := line.find(marker)) >= 0:
                    return line[start:]
            if ended:
                self.fail(f"the guest ended without '{marker}'")
            time.sleep(0.2)
        self.fail(f"no '{marker}' within {seconds} s")

    def wait_for_end(self, seconds):
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.fail(f"the guest did not end within {seconds} s")

    def qmp(self, command, **arguments):
        request = {"execute": command, "arguments": arguments}
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        return self.answer()

    def dump(self, name="dump.elf", paging=False):
        """QEMU's dump of the machine, which is stopped."""
        file = self.work / name
        self.qmp("dump-guest-memory", paging=paging, protocol=f"file:{file}")
        return file

    def save_ram(self, areas):
        """Memory as QEMU saves it without any headers: a file by the address where each area begins."""
        files = {start: self.work / f"ram.{start:x}" for start, _ in areas}
        for start, end in areas:
            self.qmp("pmemsave", val=start, size=end - start, filename=str(files[start]))
        return files

    def answer(self):
        while line := self.process.stdout.readline():
            message = json.loads(line)
            if "error" in message:
                self.fail(f"QMP: {message['error']['desc']}")
            if "event" not in message:
                return message.get("return")
        self.fail("QEMU ended")

    def hmp(self, line, cpu=0):
        """The text that QEMU's own monitor prints for `line`."""
        return self.qmp("human-monitor-command", **{"command-line": line, "cpu-index": cpu})


class Guest(Machine):
    """A PC; `image` is a folder made by `image.sh`.

    The default CPU lacks cmpxchg16b: Debian's 6.12 kernels crash at it under TCG.
    """

    def __init__(self, work, image, role, memory, append="", machine="pc", cpu="qemu64,-cx16"):
        work = Path(work)
        work.mkdir()
        disks = [f"file={image}/boot.tar,format=raw,if=virtio,readonly=on"]
        for name in ("facts.tar", "capture.tar", "vmcore"):
            with open(work / name, "wb") as file:
                file.truncate(1 << 30)  # sparse: it grows by what the guest writes
            disks.append(f"file={work / name},format=raw,if=virtio")
        command = ["qemu-system-x86_64", "-M", machine, "-cpu", cpu, "-m", memory, "-device", "vmcoreinfo"]
        command += ["-kernel", f"{image}/vmlinuz", "-initrd", f"{image}/initrd"]
        command += ["-append", f"console=ttyS0 panic=5 guest={role} {append}"]
        for disk in disks:
            command += ["-drive", disk]
        super().__init__(work, command)

    def unpack(self, disk):
        """The folder of what the guest archived on `disk`."""
        folder = self.work / Path(disk).stem
        folder.mkdir()
        with tarfile.open(self.work / disk) as archive:
            archive.extractall(folder)
        return folder
