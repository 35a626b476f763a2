"""A job of `job-svc` beside a service of ours, started as a user would start it."""

from __future__ import annotations

import subprocess

from bench.ours import Service, python_module
from bench.stage import SCRIPTS, BenchError, Stage, free_port

COMMAND_TIMEOUT_S = 120.0


def start_job(
    stage: Stage, service: Service, port_id: str, program: bytes, target: str = ""
) -> None:
    """Run job-svc, and start a program on a port; returns once it runs."""
    target = target or f"127.0.0.1:{free_port()}"
    config, file = stage.folder / "job.toml", stage.folder / "spooled.nc"
    config.write_text(f'[serial]\ntarget = "{service.target}"\n')
    file.write_bytes(program)
    command = [*python_module("usbshare.job_svc"), "--config", str(config), "--listen", target]
    stage.start(command).wait_for("job-svc ready at")
    submit = [str(SCRIPTS / "bridge"), "job", "submit", str(file), "--target", target]
    done = subprocess.run(
        [*submit, "--port", port_id, "--start", "--despite-errors"],
        check=False,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        env=stage.environment(),
    )
    if done.returncode:
        raise BenchError(f"bridge job submit: {done.stdout}{done.stderr}")
