#!/usr/bin/env bash
# Measures the engine and prints Markdown tables: time by query and by event, memory, instructions.
#
#   tests/bench.sh [TABLE...]
#
# Tables, in this order: resolve, apply, memory, instructions.
# Times are nanoseconds of one core, the median of 100 samples and (in brackets) the fastest: on a machine that does
# other work too, the fastest is the one to compare. Instructions repeat exactly; they need valgrind.
# `--profile CASE` instead prints where the instructions of the cases go whose name has CASE in it, by function.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The cluster and the repetitions that instructions are counted with.
readonly SERVICES=10000 TIMES=200

# Runs a benchmark with divan and prints `GROUP|CASE|FASTEST|MEDIAN` in nanoseconds, a line for each.
divan() {
    local log
    log=$(mktemp)
    if ! cargo bench --quiet -p rustk8s --bench "$1" -- --color never >"$log" 2>"$log.err"; then
        cat "$log.err" >&2
        rm -f "$log" "$log.err"
        return 1
    fi
    awk -F '│' '
        function ns(text,    parts) {
            split(text, parts, " ")
            return parts[1] * (parts[2] == "ns" ? 1 : parts[2] == "µs" ? 1e3 : parts[2] == "ms" ? 1e6 : 1e9)
        }
        {
            line = $0
            # A branch of the tree: at the left a group, further in a case.
            if (line ~ /^(│  |   )?(├|╰)─ /) {
                depth = line ~ /^(├|╰)/ ? 0 : 1
                sub(/^(│  |   )?(├|╰)─ /, "", line)
                columns = split(line, column, "│")
                name = column[1]
                sub(/ +$/, "", name)
                if (depth == 0) { group = name; next }
                match(name, / +[0-9.]+ (ns|µs|ms|s)$/)
                fastest = substr(name, RSTART)
                name = substr(name, 1, RSTART - 1)
                printf "%s|%s|%.0f|%.0f\n", group, name, ns(fastest), ns(column[3])
            }
        }' "$log"
    rm -f "$log" "$log.err"
}

table_resolve() {
    echo "From packet to reply, ns: median (fastest)"
    echo
    divan resolve | awk -F '|' '
        $1 == "shared" { shared[$2] = $4 " (" $3 ")"; next }
        {
            split($2, at, " @ ")
            if (!(at[1] in known)) { known[at[1]]; order[++cases] = at[1] }
            cell[at[1], at[2], $1] = $4 " (" $3 ")"
        }
        END {
            print "| query | one name, 100 Services | 10,000 | 100,000 | any name, 100 Services | 10,000 | 100,000 |"
            print "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
            for (i = 1; i <= cases; i++) {
                c = order[i]
                printf "| %s |", c
                for (d = 1; d <= 2; d++) for (s = 1; s <= 3; s++)
                    printf " %s |", cell[c, (s == 1 ? 100 : s == 2 ? 10000 : 100000), (d == 1 ? "hot" : "random")]
                print ""
            }
            printf "| ClusterIP A, snapshot loaded for each query | %s | %s | %s | | | |\n",
                shared[100], shared[10000], shared[100000]
        }'
}

table_apply() {
    echo "One event at 10,000 Services, ns: median (fastest)"
    echo
    divan apply | awk -F '|' '
        {
            if (!($2 in known)) { known[$2]; order[++cases] = $2 }
            cell[$2, $1] = $4 " (" $3 ")"
        }
        END {
            print "| event | nobody reads | published to readers | JSON line, published | JSON line, only read |"
            print "| --- | ---: | ---: | ---: | ---: |"
            for (i = 1; i <= cases; i++) {
                c = order[i]
                printf "| %s | %s | %s | %s | %s |\n", c, cell[c, "alone"], cell[c, "published"], cell[c, "from_json"],
                    cell[c, "read_json"]
            }
        }'
}

table_memory() {
    cargo bench --quiet -p rustk8s --bench memory
}

# Counts the instructions of all cases, or of those named, into the directory $1: `counts` and a profile for each.
count_instructions() {
    valgrind --tool=callgrind --collect-atstart=no --toggle-collect=instructions::measured \
        --dump-after=instructions::measured --callgrind-out-file="$1/profile" \
        target/release/examples/instructions $SERVICES $TIMES "${@:2}" >"$1/cases" 2>"$1/log" || {
        cat "$1/log" >&2
        return 1
    }
    local number=0 times name
    while read -r times name; do
        number=$((number + 1))
        awk -v times="$times" -v name="$name" '/^totals:/ { printf "| %s | %.1f |\n", name, $2 / times }' \
            "$1/profile.$number"
    done <"$1/cases" >"$1/counts"
}

table_instructions() {
    if ! command -v valgrind >/dev/null; then
        echo "tests/bench.sh: no instructions are counted: valgrind is missing" >&2
        return 1
    fi
    cargo build --quiet --release -p rustk8s --example instructions
    local dir
    dir=$(mktemp -d)
    mkdir "$dir/first" "$dir/second"
    count_instructions "$dir/first"
    count_instructions "$dir/second"
    echo "Instructions, one name, 10,000 Services (callgrind; the mean of $TIMES)"
    echo
    echo "| what | instructions |"
    echo "| --- | ---: |"
    cat "$dir/first/counts"
    echo
    if cmp -s "$dir/first/counts" "$dir/second/counts"; then
        echo "Counted twice: equal."
    else
        echo "Counted twice: they differ:"
        diff "$dir/first/counts" "$dir/second/counts" || true
    fi
    rm -rf "$dir"
}

profile() {
    cargo build --quiet --release -p rustk8s --example instructions
    local dir number=0 times name
    dir=$(mktemp -d)
    count_instructions "$dir" "$1"
    while read -r times name; do
        number=$((number + 1))
        echo "== $name: instructions of $times, by function"
        callgrind_annotate --auto=no --threshold=98 "$dir/profile.$number" 2>/dev/null |
            awk '/%/ { sub(/\[[^[]*$/, ""); print }'
    done <"$dir/cases"
    rm -rf "$dir"
}

case ${1:-} in
-h | --help)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
    exit 0
    ;;
--profile)
    profile "${2:?tests/bench.sh: --profile needs a case, such as 'ClusterIP A'}"
    exit 0
    ;;
esac
chosen=("$@")
if [ ${#chosen[@]} -eq 0 ]; then chosen=(resolve apply memory instructions); fi
for table in "${chosen[@]}"; do
    case $table in
    resolve | apply | memory | instructions) ;;
    *)
        echo "tests/bench.sh: no table '$table'; there are: resolve apply memory instructions" >&2
        exit 2
        ;;
    esac
done

cpu=$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)
echo "\`tests/bench.sh${*:+ $*}\` on $(nproc) cores of ${cpu:-$(uname -m)}, $(rustc --version | cut -d' ' -f1-2), $(date -u +%F)"
for table in "${chosen[@]}"; do
    echo
    "table_$table"
done
