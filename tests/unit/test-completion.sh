#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What bash offers behind writebackctl, by the completion that is installed, is what writebackctl takes. Runs in the build
# folder; $srcdir is the source tree.
set -euo pipefail

COMPLETION=${srcdir:-.}/packaging/completion/writebackctl
CTL=./writebackctl
passed=0 failed=0

# shellcheck source=/dev/null
. "$COMPLETION"

check() {
    local name=$1
    shift
    if "$@" >completion.said 2>&1; then
        echo "ok - $name"
        passed=$((passed + 1))
    else
        echo "not ok - $name"
        sed 's/^/    /' completion.said
        failed=$((failed + 1))
    fi
    rm -f completion.said
}

# offers WORD…: what bash would offer for the last of them, one a line. As bash does, cuts words at "=".
offers() {
    local word
    COMP_WORDS=("$CTL") COMPREPLY=()
    for word; do
        if [[ $word == *=* ]]; then
            COMP_WORDS+=("${word%%=*}" '=')
            [[ ! ${word#*=} ]] || COMP_WORDS+=("${word#*=}")
        else
            COMP_WORDS+=("$word")
        fi
    done
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _writebackctl
    printf '%s\n' "${COMPREPLY[@]}" | sort
}

is_offered() { # EXPECTED WORD…
    local expected=$1
    shift
    diff <(tr ' ' '\n' <<<"$expected" | sort) <(offers "$@")
}

commands_are_those_of_the_help() {
    local known
    known=$($CTL --help | sed -n 's/^  \([a-z]\{1,\}\) .*/\1/p' | grep -vx -e 'journal' | sort -u)
    diff <(echo "$known") <(offers '')
}
options_are_those_of_the_help() {
    local known command
    known=$($CTL --help | grep -o -- '--[a-z]\{1,\}' | sort -u)
    diff <(echo "$known") <(for command in $(offers ''); do offers "$command" -; done | tr -d = | sort -u)
}
every_option_is_taken() {
    local command option
    for command in $(offers ''); do
        for option in $(offers "$command" --); do
            # What getopt(3) does not know it says.
            ! $CTL "$command" "${option/%=/=x}" too many arguments here </dev/null 2>&1 | grep 'unrecognized option' ||
                return 1
        done
    done
}
events_are_offered_by_number_and_name() {
    is_offered '33008' explain 33008 && is_offered 'ADPasswordPolicyError' explain ADPass &&
        (($(offers explain 33 | wc -l) >= 9))
}
keys_that_can_be_retired_are_offered() {
    mkdir -p completion.bin
    cat >completion.bin/writebackctl <<'FAKE'
#!/bin/sh
[ "$*" = 'keys list' ] && printf '%s\n' 'key use state made ends' 'one enc current x y' 'two enc replaced x y' 'twice sig replaced x y'
FAKE
    chmod +x completion.bin/writebackctl
    CTL=completion.bin/writebackctl is_offered 'two twice' keys retire tw
}
values_are_offered_where_they_are_known() {
    is_offered 'today' logs --since=tod && is_offered "$COMPLETION" status "--config=${COMPLETION%ctl}" &&
        is_offered '' check --user=a
}
# With a terminal and the TAB key, as somebody would.
bash_itself_completes() {
    mkdir -p completion.bin
    printf '#!/bin/sh\necho "ran: $*"\n' >completion.bin/writebackctl
    chmod +x completion.bin/writebackctl
    printf 'PATH=%s:/usr/bin:/bin\n. %s\nwritebackctl tra\tsome-id\nwritebackctl logs --sin\t7d\nexit\n' \
        "$PWD/completion.bin" "$COMPLETION" |
        script --quiet --echo never --command 'bash --norc --noprofile -i' /dev/null | tr -d '\r' >completion.ran
    cat completion.ran
    grep 'ran: trace some-id' completion.ran && grep 'ran: logs --since=7d' completion.ran
}

check 'commands are those of --help' commands_are_those_of_the_help
check 'options are those of --help' options_are_those_of_the_help
check 'writebackctl takes every option that is offered' every_option_is_taken
check 'events are offered by number and name' events_are_offered_by_number_and_name
check 'keys that can be retired are offered' keys_that_can_be_retired_are_offered
check 'values are offered where they are known' values_are_offered_where_they_are_known
check 'bash itself completes' bash_itself_completes
rm -rf completion.bin completion.ran
echo "$passed passed, $failed failed"
((failed == 0))
