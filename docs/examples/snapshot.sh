#!/bin/sh
# Take a picture with a generic gRPC client that knows nothing of usbshare.
# Usage: sh snapshot.sh HOST:PORT CLIENT_PEM JPEG_FILE [CAMERA_ID]
# Needs buf (https://buf.build/docs/cli, or `pip install buf-bin`) and base64.
set -eu
target=$1 bundle=$2 file=$3 camera=${4:-}
umask 077
parts=$(mktemp -d)
trap 'rm -rf "$parts"' EXIT

# client.pem holds the private key, the certificate and the site's authority, in this order.
awk -v folder="$parts" '/-----BEGIN/ { n++ } { print > (folder "/" n ".pem") }' "$bundle"
buf curl --protocol grpc --key "$parts/1.pem" --cert "$parts/2.pem" --cacert "$parts/3.pem" \
  -d "{\"camera_id\": \"$camera\"}" \
  "https://$target/usbshare.camera.v1.CameraService/Snapshot" > "$parts/answer.json"
# JSON carries bytes as base64; that of a picture is the longest string of the answer.
sed -n 's/.*"data": *"\([^"]*\)".*/\1/p' "$parts/answer.json" | base64 -d > "$file"
