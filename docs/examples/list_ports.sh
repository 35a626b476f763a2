#!/bin/sh
# List a host's ports with a generic gRPC client that knows nothing of usbshare: it asks the service
# itself what there is to call. Usage: sh list_ports.sh HOST:PORT CLIENT_PEM
# Needs buf (https://buf.build/docs/cli, or `pip install buf-bin`).
set -eu
target=$1 bundle=$2
umask 077
parts=$(mktemp -d)
trap 'rm -rf "$parts"' EXIT

# client.pem holds the private key, the certificate and the site's authority, in this order.
awk -v folder="$parts" '/-----BEGIN/ { n++ } { print > (folder "/" n ".pem") }' "$bundle"
call() {
  buf curl --protocol grpc --key "$parts/1.pem" --cert "$parts/2.pem" --cacert "$parts/3.pem" "$@"
}

call --list-methods "https://$target"
call "https://$target/usbshare.serial.v1.SerialService/ListPorts"
