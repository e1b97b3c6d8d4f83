#!/usr/bin/env bash
# Runs every check and every test, or the named ones. The last line counts them: `N passed, N failed`.
#
#   tests/run.sh [STEP...]
#
# Steps, in this order:
#   format     rustfmt, and gofmt of the Go program that is the reference
#   clippy     lints of all Rust code; a warning is a failure
#   docs       rustdoc; a warning is a failure
#   no-std     the engine builds without std, and for a target that has none
#   test       all tests of all crates: units, properties, fixture, the differential suite, the demo with real clients
#   sanitizer  the tests of the module that holds all unsafe code, under AddressSanitizer
#   release    the program builds as README says
#
# A step that needs a part that is not on this machine and cannot be had says so and is counted as skipped, not as passed.
# Needs Rust (rustup or not), a C compiler, Go, and Debian's packages bind9-dnsutils, iproute2, util-linux and valgrind.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2

STEPS=(format clippy docs no-std test sanitizer release)
passed=0 failed=0 skipped=0
failures=()

pass() { passed=$((passed + 1)); }
fail() {
    failed=$((failed + 1))
    failures+=("$1")
}
skip() {
    skipped=$((skipped + 1))
    echo "SKIPPED: $1"
}

# check WORDS COMMAND...: one check, which passes when the command does.
check() {
    local words=$1
    shift
    if "$@"; then pass; else fail "$words: $*"; fi
}

# cargo_test WORDS COMMAND...: counts the tests that Cargo ran, from the lines `test result: … N passed; N failed; …`.
cargo_test() {
    local words=$1 log status=0 counts
    shift
    log=$(mktemp)
    "$@" 2>&1 | tee "$log" || status=$?
    counts=$(awk '/^test result: / { for (i = 2; i <= NF; i++) {
        if ($i == "passed;") p += $(i-1); if ($i == "failed;") f += $(i-1); if ($i == "ignored;") s += $(i-1) } }
        END { printf "%d %d %d", p, f, s }' "$log")
    rm -f "$log"
    local p f s
    read -r p f s <<<"$counts"
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    if [ "$f" -gt 0 ]; then
        failures+=("$words: $f tests")
    elif [ "$status" -ne 0 ]; then
        fail "$words: $* (exit status $status)"
    elif [ "$p" -eq 0 ]; then
        fail "$words: no test ran"
    fi
}

have_target() { rustc --print target-libdir --target "$1" >/dev/null 2>&1 && [ -d "$(rustc --print target-libdir --target "$1")" ]; }

step_format() {
    check "rustfmt (cargo fmt --all)" cargo fmt --all --check
    check "gofmt (gofmt -w tests/coredns)" go_is_formatted
}
go_is_formatted() {
    local files
    files=$(gofmt -l tests/coredns) && if [ -n "$files" ]; then echo "not formatted: $files" && false; fi
}

step_clippy() {
    check "clippy" cargo clippy --workspace --all-targets -- -D warnings
    check "go vet" go -C tests/coredns vet ./...
}

step_docs() {
    check "rustdoc" env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
}

step_no_std() {
    check "the engine without std" cargo check -p rustk8s --no-default-features
    # The host's target has a std that a dependency could pull in unseen; this one has none.
    local target=x86_64-unknown-none
    if ! have_target $target && command -v rustup >/dev/null; then
        timeout 90 rustup target add $target || true
    fi
    if have_target $target; then
        check "the engine for a target without std" cargo check -p rustk8s --no-default-features --target $target
    else
        skip "the Rust target $target is not installed and cannot be had here (rustup target add $target)"
    fi
}

step_test() {
    # Built once, and with the features of the whole workspace: tests that start the program take it from here.
    check "the tests build" cargo test --workspace --no-run
    check "the program builds" cargo build --workspace --bins
    RUSTK8S_BIN=$PWD/$(target_dir)/debug/rustk8s cargo_test "cargo test" cargo test --workspace --no-fail-fast
}
target_dir() { realpath --relative-to=. "${CARGO_TARGET_DIR:-target}"; }

step_sanitizer() {
    # Miri cannot run system calls such as recvmmsg; AddressSanitizer can. Stable Rust ships its runtime, and the variable
    # lets it use the option. A directory of its own, so that the other steps keep what they built.
    local host
    host=$(rustc -vV | sed -n 's/^host: //p')
    case $host in
    x86_64-unknown-linux-gnu | aarch64-unknown-linux-gnu) ;;
    *)
        skip "AddressSanitizer: not for $host"
        return
        ;;
    esac
    cargo_test "AddressSanitizer" env RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address" CARGO_TARGET_DIR=target/sanitizer \
        cargo test -p rustk8s-host --lib --target "$host" socket
}

step_release() {
    check "the release build" cargo build --release --bin rustk8s
}

case ${1:-} in
-h | --help)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
    exit 0
    ;;
esac
chosen=("$@")
if [ ${#chosen[@]} -eq 0 ]; then chosen=("${STEPS[@]}"); fi
for step in "${chosen[@]}"; do
    case " ${STEPS[*]} " in
    *" $step "*) ;;
    *)
        echo "tests/run.sh: no step '$step'; there are: ${STEPS[*]}" >&2
        exit 2
        ;;
    esac
done

for step in "${chosen[@]}"; do
    echo "== $step"
    start=$SECONDS
    "step_${step//-/_}"
    echo "== $step took $((SECONDS - start)) s"
done

for failure in "${failures[@]}"; do echo "FAILED: $failure"; done
line="$passed passed, $failed failed"
if [ "$skipped" -gt 0 ]; then line+=", $skipped skipped"; fi
echo "$line"
[ "$failed" -eq 0 ]
