#!/bin/sh
# Runs every benchmark of the workspace, or those named: `scripts/bench.sh intake`. Each prints its figure beside the
# limit measured in the same run.
set -eu
cd "$(dirname "$0")/.."
# Beside another program, with files and an environment of its own.
if [ "${1:-}" = person-index ]; then
    shift
    exec scripts/person-index.sh "$@"
fi
found=0
for file in crates/*/benches/*.rs; do
    [ -f "$file" ] || continue
    name=$(basename "$file" .rs)
    if [ $# -gt 0 ]; then
        case " $* " in *" $name "*) ;; *) continue ;; esac
    fi
    found=1
    printf '\n== %s\n' "$name"
    # Of the whole workspace, so that all of them share one build of the dependencies.
    cargo bench --locked --workspace --bench "$name"
done
if [ "$found" = 0 ]; then
    echo "bench: no benchmark of that name under crates/*/benches/" >&2
    exit 1
fi
