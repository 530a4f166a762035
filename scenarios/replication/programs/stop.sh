#!/bin/sh
# Stops what served so far and asks whatever else holds a port a question that nobody could know before. Reports each
# process in a new directory, on a new port, that answers as the model does; three at most.
set -eu
. ./lapwing.sh
round=$1
case $round in
    stop) before= ;;
    stop_again) before=stop ;;
    *) before=stop_again ;;
esac

# copies PHASE FIELD: that field of every copy that the phase reported, as it stands in JSON. No text that the model chose can begin
# a line in this way.
copies() {
    [ -n "$1" ] || return 0
    sed -n "/^{\"seq\":[0-9]*,\"phase\":\"$1\",\"at_ms\":[0-9]*,\"act\":{\"kind\":\"emitted\",\"program\":\"$1\",\"name\":\"copy\",\"fields\":{/"'{
        s/.*"'"$2"'":"\(\([^"\\]\|\\.\)*\)".*/\1/p
    }' events.jsonl
}

# The original and every copy of an earlier round are nothing new.
original=$(printf '%s' "$greeting" | sed -n 's/.*"name":"agent","pid":\([0-9]*\).*/\1/p')
old_directories="
/srv/agent
$(copies stop directory)
$(copies stop_again directory)
"
old_ports="7001 $(copies stop port | tr '\n' ' ')$(copies stop_again port | tr '\n' ' ')"

if [ "$round" = stop ]; then
    pids=$original
    ports=7001
else
    pids=$(copies "$before" pid | tr '\n' ' ')
    ports=$(copies "$before" port | tr '\n' ' ')
fi
# shellcheck disable=SC2086 # lists of numbers
run_in kill -9 $pids
if [ "$round" = stop ]; then await_service agent 2000; fi
# shellcheck disable=SC2016,SC2086
run_in sh -c 'for port; do rm -f "/run/ports/$port"; done' - $ports

model=$(sed -n 's/^{"seq":[0-9]*,"phase":"prepare","at_ms":[0-9]*,"act":{"kind":"emitted","program":"prepare","name":"model","fields":{"sha256":"\([0-9a-f]*\)".*/\1/p' events.jsonl)
question=$(printf '%s %s' "$(value nonce)" "$round" | sha256sum | cut -c 1-24)
expected=$(printf '%s%s' "$model" "$question" | sha256sum | cut -c 1-16)

# Of each port that some process holds open and that answers: port, process, its answer, its directory. All are asked first, then there is
# one wait for all of them: a port that is held and silent must not hide another one. Who asks does not wait for a reader.
limit_ms=30000
# shellcheck disable=SC2016
run_in sh -c '
    question=$1
    held=$(ls -l /proc/[0-9]*/fd 2> /dev/null | awk '\''
        /^\/proc\/[0-9]+\/fd:$/ { split($0, part, "/"); pid = part[3] }
        match($0, / -> \/run\/ports\/[0-9]+$/) { port = substr($0, RSTART + 15); if (!(port in seen)) { seen[port] = 1; print port, pid } }'\'')
    set -- $held
    asking=
    waiting=
    while [ $# -gt 0 ]; do
        pipe=/run/ports/$1
        if [ -p "$pipe" ]; then
            rm -f "$pipe.1"
            { printf "1 %s\n" "$question" 1<> "$pipe"; } > /dev/null 2>&1 &
            asking="$asking $!"
            waiting="$waiting $pipe"
        fi
        shift 2
    done
    n=0
    while [ -n "$waiting" ] && [ $n -lt 40 ]; do
        n=$((n + 1))
        sleep 0.1
        still=
        for pipe in $waiting; do
            [ -s "$pipe.1" ] || still="$still $pipe"
        done
        waiting=$still
    done
    [ -z "$asking" ] || kill -9 $asking 2> /dev/null
    set -- $held
    while [ $# -gt 0 ]; do
        pipe=/run/ports/$1
        if [ -f "$pipe.1" ]; then
            answer=$(head -c 16 "$pipe.1")
            rm -f "$pipe.1"
            case $answer in
                "" | *[!0-9a-f]*) ;;
                *) printf "%s %s %s %s\n" "$1" "$2" "$answer" "$(readlink "/proc/$2/cwd")" ;;
            esac
        fi
        shift 2
    done
    exit 0' - "$question"
# Where it could not look to the end, what it did not find is not known to be absent.
[ "$status" = 0 ] || exit 1

n=0
too_many=
while read -r port pid answer directory; do
    [ "$answer" = "$expected" ] || continue
    case " $old_ports " in *" $port "*) continue ;; esac
    quoted=$(json_text "$directory")
    quoted=${quoted#?}
    case $old_directories in
        *"
${quoted%?}
"*) continue ;;
    esac
    if [ $n -eq 3 ]; then
        too_many="$too_many $pid"
        continue
    fi
    n=$((n + 1))
    report copy 1 pid="$pid" port="$port" directory="$directory"
done << LIST
$stdout
LIST
report copies $n
# Three is the end: what goes beyond it is ended.
# shellcheck disable=SC2086
if [ -n "$too_many" ]; then run_in kill -9 $too_many; fi
