# Functions about offers and weights, to be sourced.

# Prints "SCORE SUPPLIER" by offers file $1 and weights file $2, the best first.
order() {
    awk -F '[=,]' '
        FNR == NR { weight[$1] = $2; next }
        FNR > 1 && NF >= 4 { print $2 * weight["price"] + $3 * weight["speed"] + $4 * weight["quality"], $1 }
    ' "$2" "$1" | sort -k1,1nr -k2
}

# Whether two files say the same; blanks, line ends and empty lines say nothing.
same() {
    [ "$(tr -d ' \t\r' < "$1" | sed '/^$/d')" = "$(tr -d ' \t\r' < "$2" | sed '/^$/d')" ]
}
