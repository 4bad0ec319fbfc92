#!/bin/sh
# The person index beside Splink on FEBRL 1–4, RLdata500, fake_1000 and the Chinese benchmark; one table at the end.
#   scripts/person-index.sh                 100,000 registrations of each level (or: make bench ARGS=person-index)
#   scripts/person-index.sh --full          a million of each; --sets hard for one of them
# Makes a virtual environment with pinned packages under target/; needs python3 and the package index. `--help` lists options.
set -eu
cd "$(dirname "$0")/.."
folder=${PERSON_INDEX_FOLDER:-${CARGO_TARGET_DIR:-target}/person-index}
mkdir -p "$folder"
if [ ! -x "$folder/venv/bin/python" ] || [ ! -f "$folder/venv/ready" ]; then
    python3 -m venv "$folder/venv"
    "$folder/venv/bin/pip" install --quiet splink==5.0.0 recordlinkage==0.16 duckdb==2.0.0 pandas==2.3.3 pypinyin==0.55.0
    touch "$folder/venv/ready"
fi
if [ -z "${MINKANG:-}" ]; then
    cargo build --release --locked -p minkang
    MINKANG="${CARGO_TARGET_DIR:-target}/release/minkang"
fi
export MINKANG
exec nice -n 10 "$folder/venv/bin/python" scripts/person_index.py run --folder "$folder" "$@"
