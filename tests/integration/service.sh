#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The agent as a service under a real systemd: installed by `make install`, started by its unit with all
# of its hardening, in a lab.
#
#     sudo tests/lab/run --no-agent tests/integration/service.sh BUILD
set -euo pipefail

. "$(dirname "$0")/container.sh"

starts_and_is_ready() {
    systemctl start writebackd && within 30 is_ready
}
runs_as_its_own_user() {
    [[ $(ps -o user= -p "$(main_pid)") == writeback ]]
}
status_tells_what_is_connected() {
    status_line
    [[ $(status_line) == *"relay primary connected"* && $(status_line) == *"$WRITEBACK_LAB_DC ok"* ]]
}
journal_has_fields() {
    journalctl --no-pager -o json -u writebackd WRITEBACK_EVENT=31019 | head -n 1 |
        jq -e '.MESSAGE_ID | endswith("31019")' &&
        journalctl --no-pager -o json -u writebackd WRITEBACK_EVENT=31015 | head -n 1 |
        jq -e '.PRIORITY == "6" and .DOCUMENTATION == "man:writeback-events(7)"'
}
# Where the host lets the unit raise the limit; else the agent must say that it is not.
memory_is_locked() {
    if [[ $(prlimit --memlock --output=SOFT --noheadings --pid "$(main_pid)") == unlimited ]]; then
        ! has_event 35035 && (($(sed -n 's/^VmLck:\s*\([0-9]*\) kB/\1/p' "/proc/$(main_pid)/status") > 0))
    else
        entries WRITEBACK_EVENT=35035 | grep 'could not be locked'
    fi
}
unlocked_memory_is_told() {
    drop_in LimitMEMLOCK=64K
    systemctl restart writebackd && within 10 has_event 35035
    drop_in
    systemctl restart writebackd && within 30 is_ready
}
no_core_dumps() {
    # A process that cannot be dumped has its /proc files owned by root.
    [[ $(stat -c %U "/proc/$(main_pid)/environ") == root ]]
}
a_reset_works() {
    node "$HERE/reset-once.mjs" alice
}
tenant_is_known() {
    curl --silent "$WRITEBACK_LAB_HEALTH_URL/status" |
        jq -e '.checks | .sync[0].status == "pass" and .licence[0].status == "pass"'
}
graph_knows_the_agent() {
    within 10 tenant_is_known
}
check_takes_the_credentials_of_the_service() {
    writebackctl check --user=alice | tee /dev/stderr | grep '✓ Reset Password is held'
}
check_is_for_root() {
    local status=0
    setpriv --reuid=nobody --regid=nogroup --clear-groups writebackctl check >/tmp/check || status=$?
    cat /tmp/check
    ((status == 78)) && grep 'Run it as root' /tmp/check
}
catalog_explains() {
    node "$HERE/reset-once.mjs" carol
    journalctl --no-pager -x -u writebackd WRITEBACK_EVENT=33005 | grep 'Enable the account in the directory'
}
# Whoever may send a request names a user as they like; root types what the journal says to type.
commands_are_safe_to_be_typed() {
    local command name='o'\''brien$(touch /tmp/typed);touch /tmp/typed @corp.example'
    ! node "$HERE/reset-once.mjs" "${name%@*}" || return
    command=$(journalctl --no-pager -x -n 1 -u writebackd WRITEBACK_EVENT=33002 | sed -n 's/^░░ *\(writebackctl check\)/\1/p')
    echo "$command"
    bash -c "$command" >/tmp/check || true
    cat /tmp/check
    [[ ! -e /tmp/typed ]] && grep --fixed-strings "✗ $name is in none of the domains" /tmp/check
}
# Its name in the log is none that the command knows.
a_hash_is_not_typed() {
    sed -i '/^\[Agent\]/a LogUserIdentity=hash' "$CONFIG"
    systemctl reload writebackd && within 30 is_ready
    ! node "$HERE/reset-once.mjs" nobody || return
    journalctl --no-pager -x -n 1 -u writebackd WRITEBACK_EVENT=33002 | tee /dev/stderr |
        grep -x '░░ *writebackctl check --user=USER' || return
    sed -i '/^LogUserIdentity=/d' "$CONFIG"
    systemctl reload writebackd && within 30 is_ready
}
state_is_private() {
    [[ $(stat -c '%U %a' /var/lib/writeback) == 'writeback 700' &&
    $(stat -c '%U %a' /var/lib/writeback/keys.json) == 'writeback 600' &&
    $(stat -c '%U %a' /var/lib/writeback/ledger.sqlite) == 'writeback 600' ]]
}
keys_survive_a_restart() {
    local before
    before=$(sha256sum </var/lib/writeback/keys.json)
    systemctl restart writebackd && within 30 is_ready && [[ $(sha256sum </var/lib/writeback/keys.json) == "$before" ]]
}
keys() { writebackctl keys "$@"; }
owner_of_keys() { stat -c '%U %a' /var/lib/writeback/keys.json; }
keys_are_sealed_with_what_systemd_keeps() {
    local before
    before=$(keys export)
    mkdir -p /etc/credstore.encrypted
    openssl rand -base64 32 |
        systemd-creds encrypt --with-key=host --name=state-key - /etc/credstore.encrypted/state-key &&
        systemctl restart writebackd && within 30 is_ready &&
        [[ $(head -c 1 /var/lib/writeback/keys.json) == e && $(owner_of_keys) == 'writeback 600' &&
        $(keys export) == "$before" ]] && node "$HERE/reset-once.mjs" anna
}
# Word for word what CREDENTIALS in writebackd(8) shows.
a_credential_is_kept_encrypted() {
    local folder=/etc/writeback/credentials drop_in=/etc/systemd/system/writebackd.service.d/override.conf shown command works=''
    shown=$(sed -n '/^\.SH CREDENTIALS/,/^\.SH HEALTH/p' "$TREE/packaging/man/writebackd.8" | sed -e 's/\\-/-/g' -e 's/\\e/\\/')
    command=$(grep -A 1 '^systemd-creds encrypt' <<<"$shown")
    echo "$command"
    cp -p "$folder/bind-password" /tmp/
    bash -c "$command" <"$folder/bind-password" && rm "$folder/bind-password" && grep -A 1 -F '[Service]' <<<"$shown" >"$drop_in" &&
        systemctl daemon-reload && systemctl restart writebackd && within 30 is_ready && works=yes
    mv /tmp/bind-password "$folder/"
    rm -f "$drop_in" "$folder/bind-password.cred"
    systemctl daemon-reload
    systemctl restart writebackd && within 30 is_ready && [[ $works ]]
}
root_rotates_beside_the_running_agent() {
    keys rotate && [[ $(keys list | grep -c current) == 2 && $(owner_of_keys) == 'writeback 600' ]] &&
        node "$HERE/reset-once.mjs" paul &&
        [[ $(journalctl --quiet --no-pager --output=cat -t writebackctl WRITEBACK_EVENT=31018) ]]
}
nobody_else_sees_the_keys() {
    ! setpriv --reuid=nobody --regid=nogroup --clear-groups writebackctl keys list >/tmp/refused 2>&1 &&
        grep 'only root and writeback may look at the keys in /var/lib/writeback' /tmp/refused
}
# ---- writebackctl and the real journal
trace_tells_a_request() {
    refused=$(node "$HERE/reset-once.mjs" carol | jq -r .id || true)
    journalctl --sync
    writebackctl trace "$refused" | tee /tmp/story
    grep "^Request $refused" /tmp/story && grep 'outcome  *33005 ADUserAccountDisabled, answered with status 423' /tmp/story &&
        grep 'controller  *'"$WRITEBACK_LAB_DC" /tmp/story && grep '1\. Enable the account' /tmp/story &&
        [[ $(grep -Eo '^  [0-9]{4}-.* (31009|33005|31011) ' /tmp/story | wc -l) == 3 ]]
}
trace_takes_a_tracking_id() {
    local id
    id=$(journalctl --no-pager -o json WRITEBACK_REQUEST_ID="$refused" | jq -r .WRITEBACK_TRACKING_ID | head -n 1)
    writebackctl trace "${id%%_*}" | cmp - /tmp/story
}
trace_is_for_those_who_may_read_the_journal() {
    local status=0
    setpriv --reuid=nobody --regid=nogroup --clear-groups writebackctl trace "$refused" >/tmp/trace 2>&1 || status=$?
    cat /tmp/trace
    ((status == 2)) && grep 'may not be read' /tmp/trace &&
        setpriv --reuid=nobody --regid=nogroup --groups systemd-journal writebackctl trace "$refused" | cmp - /tmp/story
}
logs_group_what_failed() {
    writebackctl logs --since=1h | tee /dev/stderr | grep '× *33005 ADUserAccountDisabled' &&
        writebackctl logs --json | jq -e '[.failures[].eventId] | index(33005)'
}
bundle_has_all_but_secrets() {
    local file secret
    cd /tmp && writebackctl bundle --yes bundle.tar.gz && tar -xzOf bundle.tar.gz >/tmp/bundle &&
        [[ $(stat -c %a bundle.tar.gz) == 600 ]] && grep 'WRITEBACK_REQUEST_ID='"$refused" /tmp/bundle &&
        grep 'StatusText relay primary connected' /tmp/bundle && grep '"exitStatus": 0' /tmp/bundle || return
    systemd-creds decrypt --name=state-key /etc/credstore.encrypted/state-key /tmp/seal
    for file in /etc/writeback/credentials/* /tmp/seal; do
        secret=$(<"$file")
        [[ $secret ]] && ! grep --fixed-strings -e "$secret" /tmp/bundle || return
    done
    ! grep -E 'eyJ[A-Za-z0-9_-]+\.|once-and-no-more' /tmp/bundle
}

without_its_seal_it_says_so() {
    mv /etc/credstore.encrypted/state-key /tmp
    systemctl restart writebackd || true
    within 10 has_event 32010 && entries WRITEBACK_EVENT=32010 | grep 'is sealed, and the credential that opens it'
    mv /tmp/state-key /etc/credstore.encrypted
    systemctl stop writebackd
    systemctl reset-failed writebackd || true
    systemctl start writebackd && within 30 is_ready
}
reload_takes_over() {
    local pid
    pid=$(main_pid)
    sed -i 's/^Id=.*/Id=agent-renamed/' "$CONFIG"
    systemctl reload writebackd
    within 30 is_ready && [[ $(main_pid) == "$pid" ]]
}
reload_of_nonsense_keeps_the_old() {
    cp "$CONFIG" /tmp/good
    echo 'Nonsense=1' >>"$CONFIG"
    systemctl reload writebackd
    within 10 has_event 35037 && entries WRITEBACK_EVENT=35037 | grep "$CONFIG:[0-9]*: \[Graph\] has no setting Nonsense=" &&
        is_ready
}
wrong_configuration_ends_with_78() {
    systemctl stop writebackd
    ! systemctl start writebackd
    systemctl show --property=ExecMainStatus,NRestarts writebackd
    [[ $(systemctl show --property=ExecMainStatus --value writebackd) == 78 &&
    $(systemctl show --property=NRestarts --value writebackd) == 0 ]] &&
        entries WRITEBACK_EVENT=32005 | grep "$CONFIG:"
}
property() { systemctl show --property="$1" --value writebackd; }
# drop_in LINE…: for the unit, in the place of what was there.
drop_in() {
    mkdir -p /etc/systemd/system/writebackd.service.d
    printf '%s\n' '[Service]' "$@" >/etc/systemd/system/writebackd.service.d/test.conf
    systemctl daemon-reload
}
in_flight() { [[ $(curl --silent "$WRITEBACK_LAB_HEALTH_URL/status" | jq .requests.inFlight) == "$1" ]]; }

watchdog_is_told_that_work_gets_on() {
    local pid told
    drop_in WatchdogSec=6 RestartSec=100ms
    systemctl restart writebackd && within 30 is_ready
    pid=$(main_pid)
    for _ in 1 2 3; do
        told=$(property WatchdogTimestampMonotonic)
        within 20 eval '[[ $(property WatchdogTimestampMonotonic) != '"$told"' ]]'
    done
    [[ $(main_pid) == "$pid" && $(property NRestarts) == 0 ]]
}
watchdog_restarts_an_agent_whose_thread_is_stuck() {
    local pid tracer asking
    pid=$(main_pid)
    /usr/bin/python3 "$HERE/freeze-thread.py" "$pid" ledger >/tmp/frozen &
    tracer=$!
    within 10 grep -q frozen /tmp/frozen
    # Its first step is the ledger's, which cannot take it.
    node "$HERE/reset-once.mjs" alice >/tmp/unanswered 2>&1 &
    asking=$!
    within 60 eval '[[ $(property NRestarts) == 1 ]]' && within 30 is_ready
    kill "$tracer" "$asking" || true
    [[ $(main_pid) != "$pid" ]] && entries WRITEBACK_EVENT=35014 | grep 'The thread "ledger" has got nothing done for' &&
        journalctl --quiet --no-pager -u writebackd | grep 'Watchdog timeout' && node "$HERE/reset-once.mjs" bob
}
# The unit's own limit is passed several times over meanwhile.
stop_lasts_as_long_as_a_request_does() {
    local asking
    drop_in TimeoutStopSec=1
    systemctl restart writebackd && within 30 is_ready
    outside_do 'kill -STOP "$(<"$SCRATCH/dc1.pid")"'
    node "$HERE/reset-once.mjs" grace >/tmp/grace &
    asking=$!
    within 10 in_flight 1
    systemctl stop --no-block writebackd
    within 30 eval '[[ $(status_line) == "Stopping; requests that are still being answered: 1" ]]'
    sleep 8 # more than any one extension, to see that it is asked for again
    [[ $(systemctl is-active writebackd) == deactivating ]]
    outside_do 'kill -CONT "$(<"$SCRATCH/dc1.pid")"'
    wait "$asking" && within 30 eval '[[ $(systemctl is-active writebackd) == inactive ]]' &&
        [[ $(property Result) == success && $(property ExecMainStatus) == 0 ]]
}
systemd_holds_the_port() {
    drop_in
    systemctl stop writebackd
    systemctl start writebackd-health.socket
    # Nobody runs yet, and whoever asks brings it up.
    curl --silent --fail --max-time 30 "$WRITEBACK_LAB_HEALTH_URL/livez" && within 30 is_ready &&
        [[ $(property ActiveState) == active ]] &&
        # Who asks in the middle of a restart waits, and is not refused.
        systemctl restart writebackd && curl --silent --fail --max-time 30 "$WRITEBACK_LAB_HEALTH_URL/livez" && within 30 is_ready
    systemctl stop writebackd writebackd-health.socket
    ! curl --silent "$WRITEBACK_LAB_HEALTH_URL/livez" && systemctl start writebackd && within 30 is_ready
}
starts_without_directory_and_relay() {
    cp /tmp/good "$CONFIG"
    sed -i -e 's/^Controllers=.*/Controllers=nowhere.corp.example/' -e 's/relay\.lab\.example/nowhere.lab.example/' "$CONFIG"
    systemctl reset-failed writebackd
    systemctl start writebackd && within 20 has_event 31034 && within 20 has_event 35032 && ! is_ready &&
        [[ $(systemctl is-active writebackd) == active ]]
}
stops_cleanly() {
    systemctl stop writebackd &&
        [[ $(systemctl show --property=Result --value writebackd) == success ]] && has_event 31016
}

inside() {
    installs || return
    check 'it starts by its unit and is ready' starts_and_is_ready
    check 'it runs as its own user' runs_as_its_own_user
    check 'STATUS= tells what is connected' status_tells_what_is_connected
    check 'the journal has its fields' journal_has_fields
    check 'its memory is locked, or it says that it is not' memory_is_locked
    check 'memory that is not locked is told' unlocked_memory_is_told
    check 'it cannot be dumped' no_core_dumps
    check 'a reset works inside of the sandbox' a_reset_works
    check 'Microsoft Graph knows the agent by the certificate of its drop-in' graph_knows_the_agent
    check 'writebackctl check has the credentials of the running service' check_takes_the_credentials_of_the_service
    check 'writebackctl check is for root, and says so' check_is_for_root
    check 'journalctl -x tells what to do' catalog_explains
    check 'what a caller sent is safe to be typed' commands_are_safe_to_be_typed
    check 'a hash in the place of a name is not typed' a_hash_is_not_typed
    check 'its state is its own' state_is_private
    check 'its keys survive a restart' keys_survive_a_restart
    check 'its keys are sealed with what systemd keeps for it' keys_are_sealed_with_what_systemd_keeps
    check 'a credential is kept encrypted as the manual shows' a_credential_is_kept_encrypted
    check 'root rotates the keys beside the running agent' root_rotates_beside_the_running_agent
    check 'nobody else sees the keys' nobody_else_sees_the_keys
    check 'writebackctl trace tells a request from the journal' trace_tells_a_request
    check 'writebackctl trace takes a tracking id' trace_takes_a_tracking_id
    check 'writebackctl trace says who may read the journal' trace_is_for_those_who_may_read_the_journal
    check 'writebackctl logs groups what failed' logs_group_what_failed
    check 'writebackctl bundle has all but secrets' bundle_has_all_but_secrets
    check 'without its seal it says so' without_its_seal_it_says_so
    check 'the watchdog is told that work gets on' watchdog_is_told_that_work_gets_on
    check 'the watchdog restarts an agent whose thread is stuck' watchdog_restarts_an_agent_whose_thread_is_stuck
    check 'a stop lasts as long as a request does' stop_lasts_as_long_as_a_request_does
    check 'systemd holds the port of the health endpoints' systemd_holds_the_port
    check 'a reload takes the new configuration over' reload_takes_over
    check 'a reload of nonsense keeps the old one' reload_of_nonsense_keeps_the_old
    check 'a wrong configuration ends with status 78 and no restart' wrong_configuration_ends_with_78
    check 'it starts without directory and relay, says so and keeps trying' starts_without_directory_and_relay
    check 'it stops cleanly' stops_cleanly
    note_events
}

container_run "$@"
