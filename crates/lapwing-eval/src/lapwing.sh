# Functions for programs in POSIX sh; read in with `. ./lapwing.sh` before anything else reads the standard input.
#
#   value NAME                          prints a value of the scenario: its text, its number, or JSON
#   emit NAME [KEY=TEXT | KEY:=JSON].. logs an event
#   say TEXT, code NUMBER               what a command's caller reads, and its exit code
#   run_in ARGUMENT..                   runs a command in the machine in question
#   await_service NAME MILLISECONDS     waits for the end of a service: sets $status, `running` while it has not ended
# and for the programs of phases
#   report QUERY VALUE [KEY=TEXT | KEY:=JSON]..
#   try_file PATH TEXT                  a file beside the copied ones for every try_out from now on
#   try_out ARGUMENT..                  runs a command in a fresh machine that holds only these files
#   events.jsonl                        has one line of JSON for each event so far
#
# run_in and try_out take the standard input of the command from $input and its limit in milliseconds from $limit_ms. They set
# $status (the exit code; 128 and the number of a signal; 124 when time was up), $stdout and $stderr. A NUL in them is left out.
#
# json_text TEXT prints TEXT as JSON. json_member NAME prints that member of the JSON object on its input; its strings are decoded.

input=
limit_ms=
lapwing_files=

json_text() {
    # The dot keeps line ends at the end of the text in the last line.
    printf '%s.' "$1" | LC_ALL=C awk '
        BEGIN {
            controls = "[" sprintf("%c", 1) "-" sprintf("%c", 31) "]"
            printf "\""
        }
        NR > 1 { print_line(line); printf "\\n" }
        { line = $0 }
        END { print_line(substr(line, 1, length(line) - 1)); print "\"" }
        function print_line(text, code) {
            gsub(/[\\"]/, "\\\\&", text)
            if (text ~ controls)
                for (code = 1; code < 32; code++)
                    gsub(sprintf("%c", code), sprintf("\\u%04x", code), text)
            printf "%s", text
        }'
}

json_member() {
    lapwing_member=$1 LC_ALL=C awk '
        BEGIN { wanted = ENVIRON["lapwing_member"]; digits = "0123456789abcdef" }
        NR == 1 {
            # Pieces between quotes: outside of strings and inside of them by turns.
            n = split($0, piece, /"/)
            depth = 0
            for (i = 1; i <= n; i++) {
                outside = piece[i]
                if (capturing) { if (capture(outside)) exit }
                else {
                    if (is_key(outside)) {
                        rest = substr(outside, index(outside, ":") + 1)
                        if (rest ~ /^[ \t]*$/) { print_string(i + 1); exit }
                        capturing = 1
                        level = depth
                        if (capture(rest)) exit
                    } else walk(outside)
                }
                i = end_of_string(i + 1)
                if (i > n) exit
                if (capturing) printf "\"%s\"", raw
                name = raw
            }
        }
        # Whether what follows the string `name` makes it the key that is wanted.
        function is_key(outside) {
            return depth == 1 && name == wanted && outside ~ /^[ \t]*:/
        }
        function walk(outside, open, close_) {
            open = gsub(/[{\[]/, "", outside)
            close_ = gsub(/[}\]]/, "", outside)
            depth += open - close_
        }
        # Prints the value that is being captured as far as `outside` has it; true at its end.
        function capture(outside, i, c) {
            for (i = 1; i <= length(outside); i++) {
                c = substr(outside, i, 1)
                if (depth == level && (c == "," || c == "}")) return 1
                if (c == "{" || c == "[") depth++
                if (c == "}" || c == "]") depth--
                printf "%s", c
            }
            return 0
        }
        # Joins the pieces of the string that begins with piece i into `raw`; returns the last.
        function end_of_string(i, j, slashes) {
            raw = ""
            for (; i <= n; i++) {
                slashes = 0
                for (j = length(piece[i]); j > 0 && substr(piece[i], j, 1) == "\\"; j--) slashes++
                raw = raw piece[i]
                if (slashes % 2 == 0) return i
                raw = raw "\""
            }
            return i
        }
        function print_string(i, j, m, part, c, code, low) {
            end_of_string(i)
            m = split(raw, part, /\\/)
            printf "%s", part[1]
            for (j = 2; j <= m; j++) {
                c = substr(part[j], 1, 1)
                if (c == "") { j++; printf "\\%s", part[j]; continue }
                if (c == "u") {
                    code = number(substr(part[j], 2, 4))
                    low = number(substr(part[j + 1], 2, 4))
                    if (code >= 55296 && code < 56320 && length(part[j]) == 5 && substr(part[j + 1], 1, 1) == "u") {
                        code = 65536 + (code - 55296) * 1024 + low - 56320
                        j++
                    }
                    print_character(code)
                    printf "%s", substr(part[j], 6)
                    continue
                }
                if (c == "n") c = "\n"
                else if (c == "t") c = "\t"
                else if (c == "r") c = "\r"
                else if (c == "b") c = "\b"
                else if (c == "f") c = "\f"
                printf "%s%s", c, substr(part[j], 2)
            }
        }
        function number(hex, i, value) {
            for (i = 1; i <= 4; i++) value = value * 16 + index(digits, tolower(substr(hex, i, 1))) - 1
            return value
        }
        # In UTF-8; a NUL would be lost in a variable anyway.
        function print_character(code) {
            if (code == 0) return
            if (code < 128) printf "%c", code
            else if (code < 2048) printf "%c%c", 192 + int(code / 64), 128 + code % 64
            else if (code < 65536)
                printf "%c%c%c", 224 + int(code / 4096), 128 + int(code / 64) % 64, 128 + code % 64
            else
                printf "%c%c%c%c", 240 + int(code / 262144), 128 + int(code / 4096) % 64, 128 + int(code / 64) % 64, 128 + code % 64
        }'
}

value() {
    printf '%s\n' "$greeting" | json_member values | json_member "$1"
}

# Sets $lapwing_list to the members that KEY=TEXT and KEY:=JSON stand for.
lapwing_members() {
    lapwing_list=
    for lapwing_pair; do
        lapwing_key=${lapwing_pair%%=*}
        case $lapwing_pair in
            *=*) ;;
            *) echo "\`$lapwing_pair\` is neither KEY=TEXT nor KEY:=JSON"; exit 2 ;;
        esac
        case $lapwing_key in
            *:) lapwing_value=${lapwing_pair#*=}; lapwing_key=${lapwing_key%:} ;;
            *) lapwing_value=$(json_text "${lapwing_pair#*=}") ;;
        esac
        lapwing_list="$lapwing_list${lapwing_list:+,}$(json_text "$lapwing_key"):$lapwing_value"
    done
}

emit() {
    lapwing_name=$(json_text "$1")
    shift
    lapwing_members "$@"
    printf '{"emit":{"name":%s,"fields":{%s}}}\n' "$lapwing_name" "$lapwing_list"
}

report() {
    lapwing_name=$(json_text "$1")
    lapwing_found=$(lapwing_number "$2")
    shift 2
    lapwing_members "$@"
    printf '{"report":{"query":%s,"value":%s,"fields":{%s}}}\n' "$lapwing_name" "$lapwing_found" "$lapwing_list"
}

# A number as JSON writes it, `true`, `false` and `null` as they stand, else a text.
lapwing_number() {
    case $1 in
        true | false | null) echo "$1" ;;
        *[!-+.0-9eE]* | '' | *[!0-9.]) json_text "$1" ;;
        *)
            printf '%s\n' "$1" | LC_ALL=C awk '
                /^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$/ { print; exit }
                /^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$/ { printf "%.15g\n", $0 + 0; exit }
                { printf "\"%s\"\n", $0 }'
            ;;
    esac
}

say() {
    printf '{"say":%s}\n' "$(json_text "$1")"
}

code() {
    printf '{"code":%s}\n' "$1"
}

# Sets $lapwing_asked to the members of a command.
lapwing_ask() {
    lapwing_asked=
    for lapwing_argument; do
        lapwing_asked="$lapwing_asked${lapwing_asked:+,}$(json_text "$lapwing_argument")"
    done
    lapwing_asked="\"argv\":[$lapwing_asked],\"stdin\":$(json_text "$input")"
    [ -z "$limit_ms" ] || lapwing_asked="$lapwing_asked,\"limit_ms\":$limit_ms"
}

run_in() {
    lapwing_ask "$@"
    printf '{"exec":{%s}}\n' "$lapwing_asked"
    lapwing_outcome
}

try_file() {
    lapwing_files="$lapwing_files${lapwing_files:+,}$(json_text "$1"):$(json_text "$2")"
}

try_out() {
    lapwing_ask "$@"
    printf '{"try":{%s,"files":{%s}}}\n' "$lapwing_asked" "$lapwing_files"
    lapwing_outcome
}

await_service() {
    printf '{"await":{"service":%s,"limit_ms":%s}}\n' "$(json_text "$1")" "$2"
    lapwing_reply=$(head -n 1)
    lapwing_status
}

lapwing_outcome() {
    lapwing_reply=$(head -n 1)
    lapwing_status
    # The dot keeps line ends at the end.
    stdout=$(printf '%s\n' "$lapwing_reply" | json_member stdout; echo .)
    stdout=${stdout%.}
    stderr=$(printf '%s\n' "$lapwing_reply" | json_member stderr; echo .)
    stderr=${stderr%.}
}

lapwing_status() {
    lapwing_ended=$(printf '%s\n' "$lapwing_reply" | json_member status)
    case $lapwing_ended in
        *'"time_limit"'*) status=124 ;;
        *'"signal":'*) status=$((128 + $(printf '%s\n' "$lapwing_ended" | json_member signal))) ;;
        *'"code":'*) status=$(printf '%s\n' "$lapwing_ended" | json_member code) ;;
        *) status=running ;;
    esac
}

IFS= read -r greeting
case $greeting in
    '{"phase":'*) sed -n -e '/^$/q' -e p > events.jsonl ;;
esac
