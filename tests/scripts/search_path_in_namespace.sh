#!/bin/sh
# Looks short names up as a pod does, with the resolver of this machine's C library and with nslookup, in namespaces of
# our own: their loopback has a port 53 for rustk8s, and /etc/resolv.conf is a file of the test. The machine's own files
# and ports are not touched.
#
#   unshare --user --map-root-user --mount --net search_path_in_namespace.sh RUSTK8S COREFILE DIRECTORY
#
# DIRECTORY has the resolv.conf and nsswitch.conf to use. The script reads look-ups from standard input, one a line
# (`getent NAME` or `nslookup NAME`), and prints for each a line `== getent NAME`, what the program printed, and a
# line `-- STATUS`.
set -eu
rustk8s=$1
corefile=$2
directory=$3

ip link set lo up
mount --bind "$directory/resolv.conf" /etc/resolv.conf
# systemd-resolved, mDNS or a name cache would answer in our place.
if [ -e /etc/nsswitch.conf ]; then mount --bind "$directory/nsswitch.conf" /etc/nsswitch.conf; fi
for cache in /run/nscd /var/run/nscd; do
    if [ -d "$cache" ]; then mount -t tmpfs none "$cache"; fi
done

"$rustk8s" -conf "$corefile" -dns.port 53 >"$directory/server.log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true' EXIT

tries=0
until dig -r +short +time=1 +tries=1 @127.0.0.1 dns-version.cluster.local TXT 2>/dev/null | grep -q '1\.1\.0'; do
    tries=$((tries + 1))
    if ! kill -0 "$server" 2>/dev/null || [ "$tries" -ge 300 ]; then
        echo "rustk8s does not answer on port 53 of the namespace; it printed:" >&2
        cat "$directory/server.log" >&2
        exit 1
    fi
    sleep 0.1
done

while read -r program name; do
    echo "== $program $name"
    status=0
    case $program in
    getent) getent ahosts "$name" || status=$? ;;
    nslookup) nslookup "$name" || status=$? ;;
    *) echo "unknown program $program" >&2; exit 1 ;;
    esac
    echo "-- $status"
done
