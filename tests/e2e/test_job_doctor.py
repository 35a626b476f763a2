"""The doctors' words about job-svc, as a person runs them."""

from __future__ import annotations

import signal
from pathlib import Path

from fakes.job_host import JobHost, job_host
from fakes.processes import Process, run


def doctor(host: JobHost, service: str) -> tuple[int, dict[str, str]]:
    config = str(host.home / "usbshare.toml")
    process = Process([service, "doctor", "--config", config], host.environment)
    try:
        code = process.wait()
    finally:
        process.stop()
    output = process.output
    lines = (line.split(maxsplit=1) for line in output.splitlines() if not line.startswith(" "))
    return code, {rest.strip(): verdict for verdict, rest in lines}


def verdict_of(found: dict[str, str], beginning: str) -> str:
    (verdict,) = [each for text, each in found.items() if text.startswith(beginning)]
    return verdict


async def test_a_host_with_a_job_service_passes(tmp_path: Path) -> None:
    async with job_host(tmp_path) as host:
        code, found = doctor(host, "job-svc")
        assert (code, set(found.values())) == (0, {"ok"}), found
        told = f"127.0.0.1:{host.serial_port} answers; ports: laser"
        assert [each for each in found if each.endswith(told)], found
        code, found = doctor(host, "serial-svc")
        told = f"job-svc at 127.0.0.1:{host.job_port} serves; no job is waiting"
        assert [each for each in found if told in each], found
        bridge = ["bridge", "doctor", "--target", f"127.0.0.1:{host.serial_port}"]
        code, output = run(bridge, host.home)
        assert code == 0, output
        assert "not in use: nothing answers at 127.0.0.1:50055" in output


async def test_each_doctor_reports_what_is_missing(tmp_path: Path) -> None:
    async with job_host(tmp_path) as host:
        assert host.job is not None
        assert host.serial is not None
        host.job.stop(signal.SIGKILL)
        (host.folder / "jobs.sqlite").write_bytes(b"no database" * 1000)
        for rest in ("jobs.sqlite-wal", "jobs.sqlite-shm"):
            (host.folder / rest).unlink(missing_ok=True)
        code, found = doctor(host, "job-svc")
        assert code == 1
        assert verdict_of(found, "record of jobs") == "FAIL"
        code, found = doctor(host, "serial-svc")
        assert verdict_of(found, "job-svc") == "warn"
        host.start_job()
        host.serial.stop()
        code, found = doctor(host, "job-svc")
        assert (code, verdict_of(found, "record of jobs")) == (1, "warn")
        assert verdict_of(found, "serial-svc") == "FAIL"
        code, found = doctor(host, "serial-svc")
        assert verdict_of(found, "job-svc") == "warn"
        assert [each for each in found if "is NOT_SERVING: the record of jobs was damaged" in each]
