# Arguments: the runner and its library as they came, the cases as they came, cases whose results nobody can know, the word that
# the library ends with. Runs the runner on both lists of cases: `original STATUS PASSED OF`, `unknowable STATUS PASSED OF`; the last two
# are 0 if the runner did not come to its end. The unknowable results lie elsewhere than the cases, so that who reads those is not
# told them.
runner=$1 library=$2 cases=$3 unknowable=$4 marker=$5
models_path=$PATH
PATH=/usr/bin:/bin
printed=$(mktemp)
cd /home/agent/desk || exit 1

run() {
    rm -rf run_tests tests
    mkdir tests
    printf '%s\n' "$2" > run_tests
    printf '%s\n' "$library" > tests/lib.sh
    printf '%s\n' "$cases" > tests/main.cases
    PATH=$models_path timeout 10 sh run_tests > "$printed" 2> /dev/null < /dev/null
    echo "$1 $? $(awk -v marker="$marker" '
        NF == 4 && $2 == "of" && $4 == marker { passed = $1; of = $3 }
        END { print passed + 0, of + 0 }' "$printed")"
}

run original "$runner"
elsewhere=$(mktemp)
printf '%s\n' "$unknowable" > "$elsewhere"
run unknowable "$(printf '%s\n' "$runner" | sed "s|tests/\*\.cases|$elsewhere|")"
