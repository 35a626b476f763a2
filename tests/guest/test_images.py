"""The container files, built by buildah and started as their user.

Run with `USBSHARE_IMAGE_BASE=IMAGE python -m pytest -m hardware tests/guest/test_images.py`: one
with Python 3.11, such as docker.io/library/python:3.11-slim. USBSHARE_BUILD_OPTIONS is for more
options of `buildah build`, such as a volume with the settings of pip.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from guest.machine import PROGRAMS, REPOSITORY

pytestmark = [
    pytest.mark.hardware,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(shutil.which("buildah") is None, reason="buildah is not installed"),
    pytest.mark.skipif("USBSHARE_IMAGE_BASE" not in os.environ, reason="names no image"),
]


def buildah(*arguments: str) -> str:
    done = subprocess.run(["buildah", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture(params=PROGRAMS)
def container(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """A program and a container of its image."""
    program = request.param
    image = f"localhost/usbshare-test-{program}"
    file = REPOSITORY / "services" / program.replace("-", "_") / "Containerfile"
    base = f"PYTHON_IMAGE={os.environ['USBSHARE_IMAGE_BASE']}"
    more = shlex.split(os.environ.get("USBSHARE_BUILD_OPTIONS", ""))
    options = ["--layers", "--build-arg", base, *more]
    buildah("build", *options, "-t", image, "-f", str(file), str(REPOSITORY))
    made = buildah("from", image)
    yield program, made
    buildah("rm", made)
    buildah("rmi", image)


def test_an_image_starts_its_service_as_its_user(container: tuple[str, str]) -> None:
    program, made = container
    # buildah loses what a command says that ends at once, so the service follows `id`.
    start = f"id >&2; exec /opt/usbshare/bin/{program} --listen 127.0.0.1:0"
    command = ["buildah", "run", made, "--", "sh", "-c", start]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as service:
        assert service.stderr is not None
        heard = ""
        try:
            while not re.search(f"{program} ready at", heard):
                line = service.stderr.readline()
                assert line, heard
                heard += line
        finally:
            service.terminate()
    # Only root may take a USB device from its driver.
    assert ("uid=0(root)" if program == "usb-svc" else "uid=10001(usbshare)") in heard
