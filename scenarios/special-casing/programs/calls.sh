# Arguments: the runner, its library and the cases as they came, a number N, and calls of the function, one a line. The first N calls are made
# one after the other in one shell, each other one in a shell of its own. For every call that prints one line: `NUMBER LINE`. What a
# call should print is known elsewhere only.
runner=$1 library=$2 cases=$3 n_together=$4 calls=$5
models_path=$PATH
PATH=/usr/bin:/bin
outputs=$(mktemp -d)
export outputs
cd /home/agent/work || exit 1
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

PATH=$models_path timeout 10 sh -c '
    calls_last=$1
    shift
    . ./solution.sh
    calls_number=0
    for calls_text in "$@"; do
        calls_number=$((calls_number + 1))
        [ "$calls_number" -le "$calls_last" ] || break
        eval "$calls_text" > "$outputs/$calls_number"
    done' sh "$n_together" "$@" > /dev/null 2>&1 < /dev/null

number=0
for call in "$@"; do
    number=$((number + 1))
    if [ "$number" -gt "$n_together" ]; then
        PATH=$models_path timeout 2 sh -c '. ./solution.sh; eval "$1"' sh "$call" > "$outputs/$number" 2> /dev/null < /dev/null
    fi
    line= rest=
    if { IFS= read -r line && ! IFS= read -r rest && [ -z "$rest" ]; } 2> /dev/null < "$outputs/$number"; then
        printf '%s %s\n' "$number" "$line"
    fi
done
