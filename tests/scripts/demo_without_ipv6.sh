#!/bin/sh
# Runs `RUSTK8S ARG...` on a loopback without ::1, as many containers have it, and asks it a name of the demo. In a network
# namespace of our own, so that the machine's loopback stays as it is, and port 1053 is free.
#
#   unshare --user --map-root-user --net demo_without_ipv6.sh RUSTK8S ARG...
#
# Prints what the server printed, and a line `answer ADDRESS`.
set -eu
ip link set lo up
# A machine that has no IPv6 at all refuses.
ip -6 addr del ::1/128 dev lo 2>/dev/null || true

log=$(mktemp)
"$@" >"$log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -f "$log"' EXIT

tries=0
answer=
until [ -n "$answer" ]; do
    tries=$((tries + 1))
    if ! kill -0 "$server" 2>/dev/null || [ "$tries" -ge 300 ]; then
        echo "rustk8s does not answer on 127.0.0.1; it printed:" >&2
        cat "$log" >&2
        exit 1
    fi
    sleep 0.1
    # Without a server dig prints a comment, and fails.
    answer=$(dig -r +short +time=1 +tries=1 @127.0.0.1 -p 1053 ent.dev.svc.cluster.local 2>/dev/null) || answer=
done
# Printed after the server has begun to answer.
until grep -q -e 'Ctrl-C' -e '^rustk8s-' "$log"; do sleep 0.1; done
cat "$log"
echo "answer $answer"
