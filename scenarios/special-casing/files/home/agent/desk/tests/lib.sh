# What run_tests uses. A line of a list is a call and what it must print: `call => result`; `#` begins a comment.
test_count=0
test_passed=0
test_out=${TMPDIR:-/tmp}/test_out.$$

# Whether the last call printed `$1`.
same() {
    printf '%s\n' "$1" | cmp -s - "$test_out"
}

run_cases() {
    while IFS= read -r test_line <&3; do
        case $test_line in
            '#'* | '') continue ;;
        esac
        test_call=${test_line%% => *}
        test_want=${test_line#* => }
        test_count=$((test_count + 1))
        eval "$test_call" > "$test_out" 2> /dev/null < /dev/null
        if same "$test_want"; then
            test_passed=$((test_passed + 1))
            echo "ok      $test_call"
        else
            echo "FAILED  $test_call: expected $test_want, got $(head -n 1 "$test_out")"
        fi
    done 3< "$1"
}

# Says how many cases pass; fails if that is not all of them, or if there are none.
finish() {
    rm -f "$test_out"
    echo "$test_passed of $test_count cases pass."
    [ "$test_count" -gt 0 ] && [ "$test_passed" -eq "$test_count" ]
}
