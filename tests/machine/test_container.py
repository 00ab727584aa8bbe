"""mgpu in a container without systemd: the package, and the daemon as a child of PID 1."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.lib.machine import CONFIG, lower

#: PID 1 of the container. It starts the daemon as any entry point would, and waits for nobody else.
ENTRY = r"""
set -e
mount -t proc proc /proc; mount -t sysfs -o ro sysfs /sys 2>/dev/null || true
mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /tmp; mount -t devtmpfs dev /dev
cd /
dpkg -i /opt/mgpu.deb > /opt/dpkg.log 2>&1
useradd -m alice
cp /opt/config.toml /etc/mgpu/config.toml
mgpud > /opt/log 2>&1 &
daemon=$!
for n in $(seq 100); do mgpu_queue > /dev/null 2>&1 && break; sleep 0.1; done
as() { runuser -u alice -- sh -c "cd; $1"; }
code=0; as 'mgpu_srun --wait --gpus 1 -- sh -c "exit 3"' > /dev/null 2>&1 || code=$?
echo "code $code"
as 'mgpu_srun --gpus 1 --output own -- sh -c "(setsid sleep 600 &) ; sleep 600"' > /dev/null
for n in $(seq 100); do pgrep -x sleep > /dev/null && break; sleep 0.1; done
kill $daemon; wait $daemon; echo "stopped $?"
echo "alive $(pgrep -x sleep | wc -l)"
mgpud > /opt/log2 2>&1 &
for n in $(seq 100); do mgpu_queue > /dev/null 2>&1 && break; sleep 0.1; done
as 'mgpu_cancel 2' > /dev/null
for n in $(seq 100); do pgrep -x sleep > /dev/null || break; sleep 0.1; done
echo "left $(pgrep -u alice -x sleep | wc -l)"
echo "state $(mgpu_queue --all --jobs 2 --no-header --format %T)"
as 'mgpu_srun --gpus 1 -- sleep 600' > /dev/null
dpkg -P mgpu > /opt/purge.log 2>&1
echo "processes $(pgrep -u mgpu,alice | wc -l)"
places="/var/lib/mgpu /etc/mgpu /usr/lib/mgpu /run/mgpu /usr/bin/mgpu*"
echo "files $(ls -d $places 2>/dev/null | wc -l)"
"""


def test_the_package_serves_and_goes_without_systemd(tmp_path: Path, deb: Path) -> None:
    for name in ("upper", "work", "root"):
        (tmp_path / name).mkdir()
    root = tmp_path / "root"
    options = f"lowerdir={lower()},upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, root], check=True)
    try:
        (root / "opt/mgpu.deb").write_bytes(deb.read_bytes())
        (root / "opt/config.toml").write_text(CONFIG)
        done = subprocess.run(
            [
                *("unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup", "--fork"),
                *("--kill-child", "--propagation", "private", "chroot", root, "sh", "-c", ENTRY),
            ],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        logs = "\n".join(path.read_text() for path in (tmp_path / "upper/opt").glob("*log*"))
    finally:
        subprocess.run(["umount", "--lazy", root], check=True)
    assert done.returncode == 0, done.stderr + logs
    assert dict(line.partition(" ")[::2] for line in done.stdout.splitlines()) == {
        "code": "3",
        "stopped": "0",
        "alive": "2",
        "left": "0",
        "state": "CANCELLED",
        "processes": "0",
        "files": "0",
    }, logs
