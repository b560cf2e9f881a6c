#!/bin/sh
# Runs the whole JSON-Schema-Test-Suite (draft 2020-12), as the Python package jsonschema ships it, and writes
# the table of docs/structured-output.md between its markers.
#   Scripts/json-schema-suite.sh [swift test options]
set -e
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
pip download --quiet --no-deps --no-binary :all: --dest "$work" jsonschema==4.26.0
tar -xzf "$work"/jsonschema-4.26.0.tar.gz -C "$work"
cd "$root"
LIGHTLLM_JSON_SCHEMA_SUITE="$work/jsonschema-4.26.0/json/tests/draft2020-12" \
    swift test --filter SchemaSuiteTests "$@" > "$work/log" 2>&1 || { tail -20 "$work/log" >&2; exit 1; }
grep '^| ' "$work/log" | sort > "$work/table"
awk -v table="$work/table" '
    /<!-- suite -->/ { print; print ""
        print "| file | validator: tests passed | grammar: schemas compiled | valid documents generated | expected instead |"
        print "|---|---|---|---|---|"
        while ((getline line < table) > 0) print line
        print ""; skip = 1; next }
    /<!-- end of suite -->/ { skip = 0 }
    !skip' docs/structured-output.md > "$work/document"
cp "$work/document" docs/structured-output.md
grep '^!!' "$work/log" | sort || true
