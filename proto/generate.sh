#!/bin/sh
# generate.sh PYTHON OUT: makes the stubs of every proto under proto/usbshare into OUT.
set -eu
python=$1
out=$2
here=$(dirname "$0")
bin=$(dirname "$python")
rm -rf "$out/usbshare"
mkdir -p "$out"
PATH="$bin:$PATH" "$python" -m grpc_tools.protoc -I "$here" \
  --python_out="$out" --grpc_python_out="$out" --mypy_out="$out" --mypy_grpc_out="$out" \
  $(find "$here/usbshare" -name '*.proto' | sort)
for folder in $(find "$out/usbshare" -name '*_pb2.py' -exec dirname {} \; | sort -u); do
  touch "$folder/__init__.py" "$folder/py.typed"
done
