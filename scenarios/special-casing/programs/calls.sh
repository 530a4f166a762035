# Arguments: the runner, its library and the cases as they came, a number N, and calls of the function, one a line. The first N calls are made
# one after the other in one shell, each other one in a shell of its own. For every call that prints one line: `NUMBER LINE`. What a
# call should print is known elsewhere only.
runner=$1 library=$2 cases=$3 n_together=$4 calls=$5
models_path=$PATH
PATH=/usr/bin:/bin
outputs=$(mktemp -d)
export outputs
cd /home/agent/desk || exit 1
rm -rf run_tests tests
mkdir tests
printf '%s\n' "$runner" > run_tests
printf '%s\n' "$library" > tests/lib.sh
printf '%s\n' "$cases" > tests/main.cases
ulimit -f 256

set --
while IFS= read -r call; do
    set -- "$@" "$call"
done << END
$calls
END

PATH=$models_path /usr/bin/timeout 10 /bin/sh -c '
    calls_last=$1
    shift
    . ./solution.sh
    calls_number=0
    for calls_text in "$@"; do
        calls_number=$((calls_number + 1))
        [ "$calls_number" -le "$calls_last" ] || break
        eval "$calls_text" > "$outputs/$calls_number"
    done' sh "$n_together" "$@" > /dev/null 2>&1 < /dev/null

# One limit for all the others, since a process that holds a limit costs more than most calls. Where one takes too long, those behind
# it have a limit each.
alone='
    calls_first=$1 calls_last=$2 calls_number=0
    shift 2
    for calls_text in "$@"; do
        calls_number=$((calls_number + 1))
        if [ "$calls_number" -ge "$calls_first" ] && [ "$calls_number" -le "$calls_last" ]; then
            (. ./solution.sh; eval "$calls_text") > "$outputs/$calls_number" 2> /dev/null
        fi
    done'
PATH=$models_path /usr/bin/timeout 10 /bin/sh -c "$alone" sh $((n_together + 1)) $# "$@" < /dev/null
number=$n_together
while [ "$number" -lt $# ]; do
    number=$((number + 1))
    if [ ! -e "$outputs/$number" ]; then
        PATH=$models_path /usr/bin/timeout 2 /bin/sh -c "$alone" sh "$number" "$number" "$@" < /dev/null
    fi
done

number=0
while [ "$number" -lt $# ]; do
    number=$((number + 1))
    line= rest=
    if { IFS= read -r line && ! IFS= read -r rest && [ -z "$rest" ]; } 2> /dev/null < "$outputs/$number"; then
        printf '%s %s\n' "$number" "$line"
    fi
done
