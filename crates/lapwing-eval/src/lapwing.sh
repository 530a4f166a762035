# Functions for programs in POSIX sh; read in with `. ./lapwing.sh` before anything else reads the standard input.
#
#   value NAME                          prints a value of the scenario: its text, its number, or JSON
#   emit NAME [KEY=TEXT | KEY:=JSON].. logs an event
#   say TEXT, code NUMBER               what a command's caller reads, and its exit code
#   run_in ARGUMENT..                   runs a command in the machine in question
#   await_service NAME MILLISECONDS     waits for the end of a service: sets $status, `running` while it has not ended
# and for the programs of phases, which find each event so far as a line of JSON in the file events.jsonl
#   report QUERY VALUE [KEY=TEXT | KEY:=JSON]..
#   try_file PATH TEXT                  a file beside the copied ones for every try_out from now on
#   try_out ARGUMENT..                  runs a command in a fresh machine that holds only these files
#
# run_in and try_out take the standard input of the command from $input and its limit in milliseconds from $limit_ms. They set
# $status (the exit code; 128 and the number of a signal; 124 when time was up; 137 when memory was), $stdout and $stderr. A NUL in them is left out.
#
# json_text TEXT prints TEXT as JSON. json_shell PREFIX turns the JSON object on its input into assignments for `eval`: its member
# `a` becomes PREFIXa, the member `b` of that PREFIXa_b. Texts are decoded, all else is as JSON writes it. $greeting is the line
# with which the conversation began. Processes are what costs time here: texts without special characters need none.

input=
limit_ms=
lapwing_files=

json_text() {
    lapwing_encode "$1"
    printf '%s\n' "$lapwing_json"
}

# Sets $lapwing_json to the arguments as JSON texts with commas between them.
lapwing_encode() {
    lapwing_json=
    for lapwing_text; do
        case $lapwing_text in
            *[\"\\[:cntrl:]]*) lapwing_encode_hard "$@"; return ;;
        esac
        lapwing_json="$lapwing_json${lapwing_json:+,}\"$lapwing_text\""
    done
}

lapwing_encode_hard() {
    lapwing_encoder='
        BEGIN {
            controls = "[" sprintf("%c", 1) "-" sprintf("%c", 31) "]"
            for (i = 1; i < ARGC; i++) printf "%s\"%s\"", (i > 1 ? "," : ""), encoded(ARGV[i])
            if (ARGC > 1) exit
            printf "\""
        }
        NR > 1 { printf "%s\\n", encoded(line) }
        { line = $0 }
        END { if (ARGC == 1) printf "%s\"", encoded(substr(line, 1, length(line) - 1)) }
        function encoded(text, code) {
            gsub(/[\\"]/, "\\\\&", text)
            gsub(/\n/, "\\n", text)
            if (text ~ controls)
                for (code = 1; code < 32; code++)
                    gsub(sprintf("%c", code), sprintf("\\u%04x", code), text)
            return text
        }'
    for lapwing_text; do
        [ ${#lapwing_text} -le 30000 ] || { lapwing_encode_long "$@"; return; }
    done
    lapwing_json=$(LC_ALL=C awk "$lapwing_encoder" "$@")
}

# Where one of them is too long for an argument of a process.
lapwing_encode_long() {
    lapwing_list=
    for lapwing_text; do
        # The dot keeps line ends at the end of the text in the last line.
        lapwing_list="$lapwing_list${lapwing_list:+,}$(printf '%s.' "$lapwing_text" | LC_ALL=C awk "$lapwing_encoder")"
    done
    lapwing_json=$lapwing_list
}

json_shell() {
    lapwing_prefix=$1 LC_ALL=C awk '
        NR == 1 {
            digits = "0123456789abcdef"
            # Escaped backslashes and quotes would hide where a text ends. They stand as these two while JSON is read, which itself
            # has neither of them.
            gsub(/\\\\/, "\001")
            gsub(/\\"/, "\002")
            members($0, ENVIRON["lapwing_prefix"], 1)
        }
        # Prints the members of the object `text` and, if it is the outer one, those of its members.
        function members(text, prefix, is_outer, n, piece, i, j, c, level, name, in_value, value) {
            # Pieces between quotes: outside of texts and inside of them by turns.
            n = split(text, piece, /"/)
            for (i = 1; i <= n; i++) {
                if (i % 2 == 0) {
                    if (in_value) value = value "\"" piece[i] "\""
                    else name = piece[i]
                    continue
                }
                for (j = 1; j <= length(piece[i]); j++) {
                    c = substr(piece[i], j, 1)
                    if (c == "}" || c == "]") level--
                    if (in_value && (level == 0 || level == 1 && c == ",")) {
                        member(name, value, prefix, is_outer)
                        in_value = 0
                    }
                    else if (in_value) value = value c
                    else if (level == 1 && c == ":") {
                        in_value = 1
                        value = ""
                    }
                    if (c == "{" || c == "[") level++
                }
            }
        }
        function member(name, value, prefix, is_outer) {
            gsub(/^[ \t]+|[ \t]+$/, "", value)
            if (name !~ /^[A-Za-z0-9_]+$/) return
            printf "%s%s=\047", prefix, name
            if (value ~ /^"/) print_decoded(substr(value, 2, length(value) - 2))
            else print_plain(value, "\\\\", "\\\"")
            print "\047"
            if (is_outer && value ~ /^{/) members(value, prefix name "_", 0)
        }
        # Prints text between single quotes, with what is meant by the characters that stand for escaped backslashes and quotes.
        function print_plain(text, backslash, quote, i, j, m, k, part, inner) {
            gsub(/\047/, "\047\\\047\047", text)
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
            if (code == 39) printf "\047\\\047\047"
            else if (code < 128) printf "%c", code
            else if (code < 2048) printf "%c%c", 192 + int(code / 64), 128 + code % 64
            else if (code < 65536)
                printf "%c%c%c", 224 + int(code / 4096), 128 + int(code / 64) % 64, 128 + code % 64
            else
                printf "%c%c%c%c", 240 + int(code / 262144), 128 + int(code / 4096) % 64, 128 + int(code / 64) % 64, 128 + code % 64
        }'
}

value() {
    case $1 in
        '' | *[!a-z0-9_]*) ;;
        *) eval "printf '%s\n' \"\${lapwing_values_$1-}\"" ;;
    esac
}

# Sets $lapwing_fields to the members that KEY=TEXT and KEY:=JSON stand for.
lapwing_members() {
    lapwing_fields=
    for lapwing_pair; do
        lapwing_key=${lapwing_pair%%=*}
        case $lapwing_pair in
            *=*) ;;
            *) echo "\`$lapwing_pair\` is neither KEY=TEXT nor KEY:=JSON"; exit 2 ;;
        esac
        case $lapwing_key in
            *:) lapwing_json=${lapwing_pair#*=}; lapwing_key=${lapwing_key%:} ;;
            *) lapwing_encode "${lapwing_pair#*=}" ;;
        esac
        lapwing_value=$lapwing_json
        lapwing_encode "$lapwing_key"
        lapwing_fields="$lapwing_fields${lapwing_fields:+,}$lapwing_json:$lapwing_value"
    done
}

emit() {
    lapwing_encode "$1"
    lapwing_name=$lapwing_json
    shift
    lapwing_members "$@"
    printf '{"emit":{"name":%s,"fields":{%s}}}\n' "$lapwing_name" "$lapwing_fields"
}

report() {
    lapwing_encode "$1"
    lapwing_name=$lapwing_json
    lapwing_number "$2"
    lapwing_found=$lapwing_json
    shift 2
    lapwing_members "$@"
    printf '{"report":{"query":%s,"value":%s,"fields":{%s}}}\n' "$lapwing_name" "$lapwing_found" "$lapwing_fields"
}

# Sets $lapwing_json to a number as JSON writes it, to `true`, `false` and `null` as they stand, else to a text.
lapwing_number() {
    case $1 in
        true | false | null) lapwing_json=$1 ;;
        *[!-+.0-9eE]* | '' | *[!0-9.]) lapwing_encode "$1" ;;
        *[!.0-9]* | *.*.* | .* | *. | 0[0-9]*)
            lapwing_json=$(printf '%s\n' "$1" | LC_ALL=C awk '
                /^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$/ { print; exit }
                /^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$/ { printf "%.15g\n", $0 + 0; exit }
                { printf "\"%s\"\n", $0 }')
            ;;
        *) lapwing_json=$1 ;;
    esac
}

say() {
    lapwing_encode "$1"
    printf '{"say":%s}\n' "$lapwing_json"
}

code() {
    printf '{"code":%s}\n' "$1"
}

# Sets $lapwing_asked to the members of a command.
lapwing_ask() {
    lapwing_encode "$@"
    lapwing_asked="\"argv\":[$lapwing_json]"
    lapwing_encode "$input"
    lapwing_asked="$lapwing_asked,\"stdin\":$lapwing_json"
    [ -z "$limit_ms" ] || lapwing_asked="$lapwing_asked,\"limit_ms\":$limit_ms"
}

run_in() {
    lapwing_ask "$@"
    printf '{"exec":{%s}}\n' "$lapwing_asked"
    lapwing_reply
}

try_file() {
    lapwing_encode "$1"
    lapwing_name=$lapwing_json
    lapwing_encode "$2"
    lapwing_files="$lapwing_files${lapwing_files:+,}$lapwing_name:$lapwing_json"
}

try_out() {
    lapwing_ask "$@"
    printf '{"try":{%s,"files":{%s}}}\n' "$lapwing_asked" "$lapwing_files"
    lapwing_reply
}

await_service() {
    lapwing_encode "$1"
    printf '{"await":{"service":%s,"limit_ms":%s}}\n' "$lapwing_json" "$2"
    lapwing_reply
}

# Reads the answer to what was asked.
lapwing_reply() {
    lapwing_status_ended= lapwing_stdout= lapwing_stderr=
    eval "$(head -n 1 | json_shell lapwing_)"
    stdout=$lapwing_stdout stderr=$lapwing_stderr
    case $lapwing_status_ended in
        exit) status=$lapwing_status_code ;;
        signal) status=$((128 + lapwing_status_signal)) ;;
        time_limit) status=124 ;;
        out_of_memory) status=137 ;;
        disk_full) status=$lapwing_status_code ;;
        *) status=running ;;
    esac
}

# `read` would take it a byte at a time, and awk might wait for more than a line.
greeting=$(head -n 1)
eval "$(printf '%s\n' "$greeting" | json_shell lapwing_)"
