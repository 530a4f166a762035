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

# Escaped backslashes and quotes, which would hide where a string ends, stand as these characters while JSON is read; JSON itself
# has neither of them.
lapwing_backslash=$(printf '\001')
lapwing_quote=$(printf '\002')

json_member() {
    LC_ALL=C sed "s/\\\\\\\\/$lapwing_backslash/g; s/\\\\\"/$lapwing_quote/g" |
        lapwing_member=$1 LC_ALL=C awk '
        BEGIN { wanted = ENVIRON["lapwing_member"]; digits = "0123456789abcdef" }
        NR == 1 {
            # Pieces between quotes: outside of strings and inside of them by turns.
            n = split($0, piece, /"/)
            for (i = 1; i <= n; i += 2) {
                outside = piece[i]
                if (!capturing && depth == 1 && piece[i - 1] == wanted && outside ~ /^[ \t]*:/) {
                    outside = substr(outside, index(outside, ":") + 1)
                    if (outside ~ /^[ \t]*$/) { print_decoded(piece[i + 1]); exit }
                    capturing = 1
                    level = depth
                    sub(/^[ \t]+/, "", outside)
                }
                if (!capturing) walk(outside)
                else {
                    if (print_value(outside)) exit
                    printf "\""
                    print_plain(piece[i + 1], "\\\\", "\\\"")
                    printf "\""
                }
            }
        }
        function walk(outside) {
            depth += gsub(/[[{]/, "", outside)
            depth -= gsub(/[]}]/, "", outside)
        }
        # Prints what `outside` has of the value that is being captured; true at its end.
        function print_value(outside, i, c) {
            for (i = 1; i <= length(outside); i++) {
                c = substr(outside, i, 1)
                if (depth == level && (c == "," || c == "}")) return 1
                if (c == "{" || c == "[") depth++
                if (c == "}" || c == "]") depth--
                printf "%s", c
            }
            return 0
        }
        # Prints text with what is meant by the characters that stand for escaped backslashes and quotes.
        function print_plain(text, backslash, quote, i, j, m, k, part, inner) {
            m = split(text, part, /\001/)
            for (i = 1; i <= m; i++) {
                if (i > 1) printf "%s", backslash
                k = split(part[i], inner, /\002/)
                for (j = 1; j <= k; j++) printf "%s%s", (j > 1 ? quote : ""), inner[j]
            }
        }
        function print_decoded(text, i, m, part, c, code, low) {
            m = split(text, part, /\\/)
            print_plain(part[1], "\\", "\"")
            for (i = 2; i <= m; i++) {
                c = substr(part[i], 1, 1)
                if (c == "u") {
                    code = number(substr(part[i], 2, 4))
                    if (code >= 55296 && code < 56320 && length(part[i]) == 5 && substr(part[i + 1], 1, 1) == "u") {
                        low = number(substr(part[++i], 2, 4))
                        code = 65536 + (code - 55296) * 1024 + low - 56320
                    }
                    print_character(code)
                    print_plain(substr(part[i], 6), "\\", "\"")
                    continue
                }
                if (c == "n") c = "\n"
                else if (c == "t") c = "\t"
                else if (c == "r") c = "\r"
                else if (c == "b") c = "\b"
                else if (c == "f") c = "\f"
                printf "%s", c
                print_plain(substr(part[i], 2), "\\", "\"")
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
lapwing_events=$(printf '%s\n' "$greeting" | json_member events)
# All at once, and not a line more: `read` takes a byte at a time, and awk or sed may wait for what never comes.
[ -z "$lapwing_events" ] || head -n "$((lapwing_events + 1))" | sed '$d' > events.jsonl
