#!/bin/sh
# Serves the lab's zone in the foreground: serve.sh PORT COUNTRY.mmdb [ADDRESS]
# (RHUMB=path/to/rhumb; UDP_SEGMENTATION=false sends every answer by itself)
set -e
here=$(cd "$(dirname "$0")" && pwd)
work=${TMPDIR:-/tmp}/rhumb-lab-$1
rm -rf "$work"
cp -r "$here" "$work"
sed -i "s|@ADDRESS@|${3:-127.0.0.1}|; s|@PORT@|$1|; s|@DB@|$2|; s|@SEGMENTATION@|${UDP_SEGMENTATION:-true}|" "$work/rhumb.toml"
exec "${RHUMB:-$here/../../target/release/rhumb}" serve --config "$work/rhumb.toml"
