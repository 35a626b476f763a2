#!/bin/sh
# Writes the lock files again, for every platform at once, with hashes. Run by `make lock`.
set -eu
cd "$(dirname "$0")/.."
compile() { uv pip compile --universal --generate-hashes --python-version 3.11 --no-header --quiet "$@"; }
compile pyproject.toml --extra all --extra h264 --group dev --output-file requirements/dev.lock
compile pyproject.toml --extra all --constraint requirements/dev.lock --output-file requirements/runtime.lock
compile requirements/build.in --output-file requirements/build.lock
compile requirements/proto.in --output-file requirements/proto.lock
