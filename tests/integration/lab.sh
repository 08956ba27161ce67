#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The lab is what it says it is: the users are as promised, labs do not see one another, and nothing stays.
#
#     tests/integration/lab.sh      one line a test; fails where one did
set -uo pipefail

SELF=$(realpath "$0")
RUN=$(dirname "$SELF")/../lab/run
POLICY_HINTS=1.2.840.113556.1.4.2239

# ---- What a test is made of ----------------------------------------------------------------------

FAILURES=0
NOTES=''

# check NAME: says how the test just done ended; `expect` has collected what was wrong.
check() {
    if [[ $NOTES ]]; then
        printf 'not ok - %s\n%s' "$1" "$NOTES"
        FAILURES=$((FAILURES + 1))
    else
        echo "ok - $1"
    fi
    NOTES=''
}

# expect WHAT PATTERN TEXT
expect() {
    # shellcheck disable=SC2053 # a pattern is meant
    [[ $3 == $2 ]] || NOTES+="    $1: expected '$2', got '$3'"$'\n'
}

# ---- Inside a lab: the directory's answers -------------------------------------------------------

staff() {
    echo "CN=$1,OU=Staff,$WRITEBACK_LAB_BASE_DN"
}

# ask DC COMMAND ARGUMENT…: an LDAP command as svc-writeback.
ask() {
    LDAPTLS_CACERT=$WRITEBACK_LAB_DC_CA "$2" -x -H "ldaps://$1" -D "${AS-$WRITEBACK_LAB_SERVICE_DN}" \
        -w "$WRITEBACK_LAB_SERVICE_PASSWORD" "${@:3}" 2>&1
}

# value_of ACCOUNT ATTRIBUTE [DC]
value_of() {
    ask "${3-$WRITEBACK_LAB_DC}" ldapsearch -LLL -b "OU=Staff,$WRITEBACK_LAB_BASE_DN" "(sAMAccountName=$1)" "$2" |
        sed -n "s/^$2: //p"
}

# Binds as somebody, and prints what the directory says: "in", or the reason (data 52e, 533, 775, …).
sign_in() {
    local answer
    answer=$(LDAPTLS_CACERT=$WRITEBACK_LAB_DC_CA ldapwhoami -x -H "ldaps://$WRITEBACK_LAB_DC" \
        -D "$1@corp.example" -w "$2" 2>&1) && echo in || grep -o 'data [0-9a-f]*' <<<"$answer"
}

# Resets a password under the domain's policy, and prints "done", or what the directory says.
reset() {
    local dn=$1 password=$2 dc=${3-$WRITEBACK_LAB_DC} answer
    answer=$(ask "$dc" ldapmodify <<LDIF
dn: $dn
control: $POLICY_HINTS true:: MAMCAQE=
changetype: modify
replace: unicodePwd
unicodePwd:: $(printf '"%s"' "$password" | iconv -t UTF-16LE | base64 -w 0)
LDIF
    ) && echo "done" || echo "$answer"
}

users_are_as_promised() {
    local old=$WRITEBACK_LAB_USER_PASSWORD new=Fresh-Passw0rd-1 name

    expect "alice" in "$(sign_in alice "$old")"
    expect "bob" in "$(sign_in bob "$old")"
    expect "carol, disabled" "data 533" "$(sign_in carol "$old")"
    expect "dave, locked" "data 775" "$(sign_in dave "$old")"
    expect "dave's lockoutTime" "[1-9]*" "$(value_of dave lockoutTime)"
    expect "mustchange" "data 773" "$(sign_in mustchange "$old")"
    expect "expired" "data 701" "$(sign_in expired "$old")"
    for name in juergen anna paul grace heidi ivan frank admin-protected; do
        expect "$name" in "$(sign_in "$name" "$old")"
    done
    expect "admin-protected's adminCount" 1 "$(value_of admin-protected adminCount)"
    expect "those who share a source anchor" 2 "$(ask "$WRITEBACK_LAB_DC" ldapsearch -LLL \
        -b "$WRITEBACK_LAB_BASE_DN" '(mS-DS-ConsistencyGuid=\20\21\22\23\24\25\26\27\28\29\2a\2b\2c\2d\2e\2f)' dn |
        grep -c ^dn:)"
    check "users are as promised"

    expect "alice" "done" "$(reset "$(staff alice)" "$new")"
    expect "alice with the new password" in "$(sign_in alice "$new")"
    expect "alice with the old password" "data 52e" "$(sign_in alice "$old")"
    expect "alice again" "*0000052D*too young*" "$(reset "$(staff alice)" "$new-2")"
    expect "bob, 14 characters" "*0000052D*15 characters*" "$(reset "$(staff bob)" Fresh-Passw0rd)"
    expect "bob, 16 characters" "done" "$(reset "$(staff bob)" "$new")"
    expect "erin, who changed it today" "*0000052D*too young*" "$(reset "$(staff erin)" "$new")"
    expect "frank, a word from history" "*0000052D*" "$(reset "$(staff frank)" "$old")"
    check "the directory keeps its password policies"

    expect "admin-protected" "*Insufficient access*" "$(reset "$(staff admin-protected)" "$new")"
    expect "oscar, in another unit" "*Insufficient access*" \
        "$(reset "CN=oscar,OU=Other,$WRITEBACK_LAB_BASE_DN" "$new")"
    expect "grace, by svc-norights" "*Insufficient access*" \
        "$(AS=svc-norights@corp.example reset "$(staff grace)" "$new")"
    expect "dave, unlocked" "modifying entry*" "$(ask "$WRITEBACK_LAB_DC" ldapmodify <<LDIF
dn: $(staff dave)
changetype: modify
replace: lockoutTime
lockoutTime: 0
LDIF
    )"
    expect "dave afterwards" in "$(sign_in dave "$old")"
    check "svc-writeback has the rights it needs, and no more"
}

a_controller_comes_back() {
    # shellcheck disable=SC2034 # for what is sourced
    SCRATCH=$WRITEBACK_LAB_SCRATCH
    . "$(dirname "$RUN")/names"
    . "$(dirname "$RUN")/controller"
    reset "$(staff heidi)" Fresh-Passw0rd-1 >/dev/null
    controller_stop dc1
    expect "heidi without a controller" "" "$(sign_in heidi Fresh-Passw0rd-1)"
    controller_start dc1
    controller_wait dc1
    expect "heidi" in "$(sign_in heidi Fresh-Passw0rd-1)"
    check "a controller that is stopped and started again knows what it knew"
}

# One of two: sets her own password, waits for the other, and looks whether hers is still there.
one_of_two() {
    local here=$1 mine=$2 theirs=$3
    expect "alice" "done" "$(reset "$(staff alice)" "$mine")"
    touch "$here/$mine"
    wait_until '[[ -e $here/$theirs ]]' || NOTES+="    the other lab never came"$'\n'
    expect "alice with mine" in "$(sign_in alice "$mine")"
    expect "alice with theirs" "data 52e" "$(sign_in alice "$theirs")"
}

numbered_users_are_there() {
    expect "user0001" in "$(sign_in user0001 "$WRITEBACK_LAB_USER_PASSWORD")"
    expect "user1000" in "$(sign_in user1000 "$WRITEBACK_LAB_USER_PASSWORD")"
    expect "user0500, reset" "done" "$(reset "$(staff user0500,OU=Numbered)" Fresh-Passw0rd-1)"
    check "a thousand numbered users are there"
}

older_controller_lacks_policy_hints() {
    expect "alice" "*Critical extension is unavailable*" "$(reset "$(staff alice)" Fresh-Passw0rd-1)"
    check "the older controller does not know policy hints"
}

pair_replicates_both_ways() {
    local pair from to name
    for pair in "$WRITEBACK_LAB_DC $WRITEBACK_LAB_DC2 grace" "$WRITEBACK_LAB_DC2 $WRITEBACK_LAB_DC heidi"; do
        read -r from to name <<<"$pair"
        expect "$name at $from" "done" "$(reset "$(staff "$name")" Fresh-Passw0rd-1 "$from")"
        wait_until '[[ $(value_of "$name" pwdLastSet "$from") == $(value_of "$name" pwdLastSet "$to") ]]' ||
            NOTES+="    $name's reset at $from did not reach $to"$'\n'
    done
    check "what one controller of a pair is told, the other learns"
}

# ---- Outside: the life of a lab ------------------------------------------------------------------

# Runs one of the functions above in a lab.
in_lab() {
    "$RUN" --no-agent "${@:2}" "$SELF" --inside "$1" 2>&1
    (($? == 0)) || FAILURES=$((FAILURES + 1))
}

wait_until() {
    local deadline=$((SECONDS + 30))
    until eval "$1"; do
        ((SECONDS < deadline)) || return 1
        sleep 0.02
    done
}

# Prints the processes that are in a network namespace.
who_is_in() {
    local namespace
    for namespace in /proc/[0-9]*/ns/net; do
        [[ $(readlink "$namespace") != "$1" ]] || cut -d / -f 3 <<<"$namespace"
    done
}

exit_status_is_the_commands_own() {
    local status
    for status in 0 1 77 125; do
        "$RUN" --no-agent bash -c "exit $status"
        expect "exit $status" "$status" $?
    done
    "$RUN" --no-agent bash -c 'kill -TERM $$' 2>/dev/null
    expect "killed" 143 $?
    expect "what came through standard input" hello "$(echo hello | "$RUN" --no-agent cat)"
    check "exit status and standard input and output are the command's own"
}

two_labs_do_not_see_one_another() {
    local here first
    here=$(mktemp -d)
    in_lab "one_of_two $here Fresh-Passw0rd-A Fresh-Passw0rd-B" >"$here/first" &
    first=$!
    in_lab "one_of_two $here Fresh-Passw0rd-B Fresh-Passw0rd-A" >"$here/second"
    wait "$first" || true
    expect "the first lab" "" "$(<"$here/first")"
    expect "the second lab" "" "$(<"$here/second")"
    rm -r "$here"
    check "two labs at once do not see one another"
}

# Those of labs, and not whatever else somebody mounts meanwhile.
lab_mounts() { grep -e "${WRITEBACK_LAB_CACHE:-writeback}" -e "${TMPDIR:-/tmp}" /proc/self/mounts; }

# However a lab ends, and whatever its command left running, its namespaces are empty afterwards.
nothing_stays() {
    local how=$1 here lab mounts namespace
    here=$(mktemp -d)
    mounts=$(lab_mounts)
    TMPDIR=$here "$RUN" --no-agent bash -c '
        setsid sleep 1000 & disown
        readlink /proc/self/ns/net >"$0/namespace.new" && mv "$0/namespace.new" "$0/namespace"
        [[ $1 == end ]] || sleep 1000' "$here" "$how" 2>/dev/null &
    lab=$!
    wait_until '[[ -e $here/namespace ]]' || NOTES+="    the lab did not start"$'\n'
    [[ $how == end ]] || kill -"$how" "$lab"
    wait "$lab" 2>/dev/null

    namespace=$(<"$here/namespace")
    wait_until '[[ -z $(who_is_in "$namespace") ]]' || true
    expect "its processes" "" "$(who_is_in "$namespace")"
    expect "mounts" "$mounts" "$(lab_mounts)"
    [[ $how == KILL ]] || expect "its folders" "" "$(find "$here" -mindepth 1 -maxdepth 1 -type d)"
    rm -rf --one-file-system "$here"
}

nothing_stays_behind() {
    nothing_stays end
    check "nothing stays when the command has ended"
    nothing_stays TERM
    check "nothing stays when the lab is told to end"
    nothing_stays KILL
    check "no process and no mount stays when the lab is killed"
}

a_lab_that_cannot_start_says_why() {
    local here answer
    here=$(mktemp -d)
    printf '#!/bin/sh\necho the agent has something to say >&2\nexit 1\n' >"$here/agent"
    chmod +x "$here/agent"
    answer=$(WRITEBACK_LAB_AGENT=$here/agent "$RUN" true 2>&1)
    expect "the status" 125 $?
    expect "the reason" "*the agent did not start*the agent has something to say*" "$answer"
    answer=$(WRITEBACK_LAB_AGENT=$here/none "$RUN" true 2>&1)
    expect "the status without an agent" 125 $?
    expect "the reason without an agent" "*no agent at $here/none*" "$answer"
    rm -r "$here"
    check "a lab that cannot start says which part did not, and why"
}

if [[ ${1-} == --inside ]]; then
    # One word, for run's arguments are a command's.
    eval "$2"
    printf %s "$NOTES"
    exit $((FAILURES + ${#NOTES} > 0))
fi

in_lab users_are_as_promised
in_lab a_controller_comes_back
two_labs_do_not_see_one_another
exit_status_is_the_commands_own
nothing_stays_behind
a_lab_that_cannot_start_says_why
in_lab numbered_users_are_there --users 1000
in_lab older_controller_lacks_policy_hints --dc 4.22
in_lab pair_replicates_both_ways --dc pair
exit $((FAILURES > 0))
