#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Logs that cure: each failure is brought about, and somebody who reads only `journalctl -x` and does what it says gets
# resets to work again. What is printed is the story of each, as it was read and typed.
#
#     sudo tests/lab/run --no-agent tests/integration/cures.sh BUILD
#
# $WRITEBACK_LAB_CURES names those that are wanted, by their functions below.
set -euo pipefail
SECONDS_MAX=300
. "$(dirname "$0")/container.sh"

# ---- Whoever sits before it ----------------------------------------------------------------------

say() { printf '%s\n' "$@"; }
shown() { sed 's/^/    | /'; }
ask() { node "$HERE/reset-once.mjs" "$@"; }
fails() { # fails USER [MORE]: the portal shows this
    ! ask "$@" >/tmp/answer 2>&1 || { echo "it was done" && return 1; }
    say "A reset of $1 fails:"
    jq -r '"\(.eventId) \(.code): \(.detail)"' /tmp/answer 2>/dev/null | shown || shown </tmp/answer
}
works() {
    say "A reset of $1 works:"
    ask "$@" >/tmp/answer 2>&1 || { cat /tmp/answer && return 1; }
    jq -r '"\(.eventId) \(.event) on \(.domainController)"' /tmp/answer | shown
}

# From here on, what is read is new.
begin() { BEGAN=@$(date +%s.%6N); }
new_entry() { [[ $(journalctl --quiet --since="$BEGAN" -o cat WRITEBACK_EVENT="$1") ]]; }

# reads EVENT: its last entry, as journalctl shows it to people.
reads() {
    within 20 new_entry "$1" || { echo "event $1 is not logged" && return 1; }
    say '$ journalctl -x -u writebackd -n 1 WRITEBACK_EVENT='"$1"
    journalctl --no-pager --quiet --since="$BEGAN" -x -n 1 WRITEBACK_EVENT="$1" | tee /tmp/entry | shown
    # Each place of the texts is filled.
    ! grep '@[A-Z_]*@' /tmp/entry
}

# step WORDS: that step of the entry, and into COMMANDS what it says to type.
step() {
    local line found='' is_step=''
    COMMANDS=()
    while IFS= read -r line; do
        line=${line#░░ }
        if [[ $line =~ ^\ ?[0-9\ ][0-9]\.\  ]]; then
            [[ ! $found ]] || break
            TEXT='' is_step=yes
        fi
        [[ $is_step ]] || continue
        if [[ $line == '        '[!\ ]* ]]; then
            [[ ! $found ]] || COMMANDS+=("${line#        }")
            continue
        fi
        TEXT+=" $(sed 's/^ *//' <<<"$line")"
        [[ ! $TEXT == *"$1"* ]] || found=yes
    done </tmp/entry
    [[ $found ]] || { echo "no step says '$1'" && return 1; }
    say "So: \"… $1 …\""
}

# types NUMBER [SED…]: that command of the step, with what only the reader knows put in. Standard input is typed along.
types() {
    local command=${COMMANDS[$1 - 1]-} status=0
    [[ $command ]] || { echo "the step has no command $1: ${COMMANDS[*]-}" && return 1; }
    shift
    (($# == 0)) || command=$(sed "$@" <<<"$command")
    say "\$ $command"
    bash -c "$command" >/tmp/output 2>&1 || status=$?
    # Of what is long the end.
    tail -n 12 /tmp/output | cut -c 1-160 | shown
    return "$status"
}

types_in_vain() {
    ! types "$@" || { echo "that worked" && return 1; }
}

# An editor's work.
edits() { say "(edits $CONFIG: $1)" && sed -i "$1" "$CONFIG"; }

# The domain controller's own commands.
provide_controller_commands() {
    local name
    export true='$true' false='$false' # PowerShell's
    cp "$HERE/dc-command.py" "$SCRATCH/tree/lab/"
    for name in dsacls Set-ADUser Set-ADObject Get-ADObject Enable-ADAccount Clear-ADAccountExpiration Unlock-ADAccount; do
        cat >"/usr/bin/$name" <<COMMAND
#!/bin/bash
. $HERE/container.sh
outside_do "in_tree /usr/bin/python3 /lab/dc-command.py $name \$(printf '%q ' "\$@") || echo FAILED"
cat $SCRATCH/log/requests.log
! grep -q FAILED $SCRATCH/log/requests.log
COMMAND
        chmod 755 "/usr/bin/$name"
    done
}
as_administrator() {
    LDAPTLS_CACERT=/etc/writeback/ca.pem ldapmodify -x -H "ldaps://$WRITEBACK_LAB_DC" -D "$WRITEBACK_LAB_ADMIN_DN" \
        -w "$WRITEBACK_LAB_ADMIN_PASSWORD" >/dev/null
}
agent_gets() { # ATTRIBUTE: VALUE
    as_administrator <<<"dn: $WRITEBACK_LAB_SERVICE_DN
changetype: modify
replace: ${1%%:*}
$1"
}

restart() { systemctl reset-failed writebackd 2>/dev/null || true; systemctl restart writebackd; }
well_again() { within 60 is_ready && works alice; }

# ---- The way in ----------------------------------------------------------------------------------

relay_key_is_wrong() {
    local key
    key=$(cat /etc/writeback/credentials/relay-key)
    printf %s "$(head -c 32 /dev/urandom | base64)" >/etc/writeback/credentials/relay-key
    restart
    reads 31034
    step 'Where it says 401'
    types 1
    step 'The key is in the portal'
    types 1 <<<"$key"
    types 2
    well_again
}
relay_is_blocked() {
    # In good order: a relay that does not hear of it would go on handing requests to who is gone.
    systemctl stop writebackd
    outside_do 'ip route add unreachable "$CLOUD_ADDRESS" table local && ip route flush cache'
    restart
    reads 31034
    step 'Try the way by hand'
    types_in_vain 1
    step 'allow outgoing port 443'
    say '(has the firewall let it through)'
    outside_do 'ip route del unreachable "$CLOUD_ADDRESS" table local && ip route flush cache'
    types 1
    well_again
}
relay_is_not_trusted() {
    sed -i '/^\[Relay/,/^\[Directory/s|^CaFile=.*|CaFile=/etc/writeback/other.pem|' "$CONFIG"
    restart
    reads 31034
    step 'Try the way by hand'
    types_in_vain 1
    step 'its authority then belongs into CaFile='
    edits '/^\[Relay/,/^\[Directory/s|^CaFile=.*|CaFile=/etc/writeback/ca.pem|'
    types 1
    well_again
}
relay_has_no_such_connection() {
    sed -i 's/EntityPath=writeback/EntityPath=writebak/' "$CONFIG"
    restart
    reads 31034
    step 'Where it says 404'
    edits 's/EntityPath=writebak/EntityPath=writeback/'
    types 1
    well_again
}
issuer_is_not_reached() {
    sed -i '/^\[Issuer/a Proxy=http://127.0.0.1:9' "$CONFIG"
    restart
    reads 32001
    step 'Try by hand'
    types_in_vain 1
    step 'set Proxy='
    edits '/^Proxy=/d'
    types 1
    well_again
}
token_has_expired() {
    begin
    fails alice '{"claims":{"exp":1600000000,"nbf":1500000000,"iat":1500000000}}'
    reads 32009
    step 'the person signs in to the portal again'
    works alice
}
request_is_from_the_future() {
    local now
    now=$(date +%s)
    fails alice '{"members":{"iat":'$((now + 900))',"exp":'$((now + 1000))'}}'
    reads 35007
    step "Check this host's clock"
    types 1
    step "Check the clock of the portal's host"
    works alice
}
# Seen from here it is all the same which of the two clocks is turned.
turn_clocks() { curl --silent --fail -d "{\"relay\":$1,\"issuer\":$1,\"graph\":$1}" "$WRITEBACK_LAB_CONTROL_URL/clocks" >/dev/null; }
clock_is_wrong() {
    turn_clocks 900
    restart
    reads 35080
    step 'See whether the clock is kept'
    types 1
    say '(sets the clock right)'
    turn_clocks 0
    # What the others' clocks say is heard when they are asked next; that this host's is set is known at once.
    restart
    well_again
}
keys_were_lost() {
    curl -s --cacert "$WRITEBACK_LAB_RELAY_CA" -H "ServiceBusAuthorization: $WRITEBACK_LAB_SEND_TOKEN" \
        "$WRITEBACK_LAB_RELAY_URL/v1/keys" >/tmp/old-keys
    systemctl stop writebackd
    rm /var/lib/writeback/keys.json
    restart
    within 60 is_ready
    fails alice '{"sealedTo":"/tmp/old-keys"}'
    reads 32004
    step 'See the keys'
    types 1
    step 'let it fetch GET /v1/keys again'
    works alice
}

# ---- The agent itself ----------------------------------------------------------------------------

configuration_is_wrong() {
    sed -i 's/^PolicyHints=.*/PolicyHints=sometimes/' "$CONFIG"
    restart && return 1
    reads 32005
    step 'Open the file at the line'
    edits 's/^PolicyHints=.*/PolicyHints=require/'
    step 'Check it without starting'
    types 1
    step 'Start it again'
    types 1
    well_again
}
reload_is_refused() {
    sed -i 's/^PolicyHints=.*/PolicyHints=never/' "$CONFIG"
    systemctl reload writebackd
    reads 35037
    step 'Where it names a line'
    edits 's/^PolicyHints=.*/PolicyHints=require/'
    step 'Check it'
    types 1
    step 'Take it over'
    types 1
    well_again
}
keys_are_damaged() {
    echo 'not what it was' >/var/lib/writeback/keys.json
    restart || true
    reads 32010
    step 'Look at it'
    types 1
    step 'move it away'
    types 1
    step 'Then:'
    systemctl reset-failed writebackd || true
    types 1
    well_again
}
# Nobody looked for half a year: they could not be replaced, since there was no room.
keys_have_expired() {
    systemctl stop writebackd
    cp -a /var/lib/writeback /tmp/state-before
    mount -t tmpfs -o size=2m,mode=700,uid="$(id -u writeback)",gid="$(id -g writeback)" small /var/lib/writeback
    cp -a /tmp/state-before/. /var/lib/writeback
    jq '.keys |= map(.iat -= 20000000 | .exp -= 20000000)' /tmp/state-before/keys.json >/var/lib/writeback/keys.json
    dd if=/dev/zero of=/var/lib/writeback/somebodys-file bs=4k 2>/dev/null || true
    restart
    reads 35052
    step 'Look at the state directory'
    types 1
    types 2
    say '$ rm /var/lib/writeback/somebodys-file' && rm /var/lib/writeback/somebodys-file
    step 'replace them by hand'
    types 1
    well_again
    systemctl stop writebackd
    umount /var/lib/writeback
    restart
    within 60 is_ready
}
keys_may_not_be_read() {
    chown root:root /var/lib/writeback/keys.json
    restart || true
    reads 32010
    step 'Look at it'
    types 1
    step 'Where it may not be read'
    types 1
    step 'Then:'
    systemctl reset-failed writebackd || true
    types 1
    well_again
}
disk_is_full() {
    systemctl stop writebackd
    cp -a /var/lib/writeback /tmp/state
    mount -t tmpfs -o size=2m,mode=700,uid="$(id -u writeback)",gid="$(id -g writeback)" small /var/lib/writeback
    cp -a /tmp/state/. /var/lib/writeback
    restart
    within 60 is_ready
    dd if=/dev/zero of=/var/lib/writeback/somebodys-file bs=4k 2>/dev/null || true
    fails alice
    reads 35012
    step 'look at the disk'
    types 1
    types 2
    step 'make room'
    say '$ rm /var/lib/writeback/somebodys-file' && rm /var/lib/writeback/somebodys-file
    well_again
    systemctl stop writebackd
    umount /var/lib/writeback
    restart
    within 60 is_ready
}
reads_of_another_host() {
    echo 0123456789abcdef0123456789abcdef >/var/lib/writeback/host.id
    restart || true
    reads 35061
}
goes_on_after_the_step() {
    step 'Then:'
    systemctl reset-failed writebackd || true
    types 1
    well_again
}
state_is_another_hosts() {
    reads_of_another_host
    step "takes the other's place"
    types 1
    types 2
    goes_on_after_the_step
}
state_was_copied_to_a_second_agent() {
    local keys
    keys=$(writebackctl keys export)
    reads_of_another_host
    step 'A second agent beside the first'
    types 1
    goes_on_after_the_step
    [[ $(writebackctl keys export) != "$keys" ]]
    rm -r /var/lib/writeback.copy
}
# To the agent it is the same: whose the directory is and whose the host differ. (journalctl, too, goes by the id.)
machine_has_another_id() {
    local keys
    keys=$(writebackctl keys export)
    reads_of_another_host
    step 'This host has got another machine id'
    types 1
    goes_on_after_the_step
    [[ $(writebackctl keys export) == "$keys" ]]
}

# ---- The directory -------------------------------------------------------------------------------

controller_is_not_found() {
    sed -i "s/^Controllers=.*/Controllers=dc01.corp.example/" "$CONFIG"
    restart
    reads 35032
    step 'Name not found'
    types_in_vain 1
    edits "s/^Controllers=.*/Controllers=$WRITEBACK_LAB_DC/"
    say '$ systemctl reload writebackd' && systemctl reload writebackd
    well_again
}
controller_is_blocked() {
    outside_do 'ip route add unreachable "$DC1_ADDRESS" table local && ip route flush cache'
    restart
    reads 35032
    within 60 eval '[[ $(status_line) == *"relay primary connected"* ]]'
    fails alice
    reads 35009
    step 'See each controller'
    types 1 || true
    step 'Read what cures that'
    types 1
    reads 35032
    step 'Connection refused, or no answer'
    types_in_vain 1
    say '(has the firewall let it through)'
    outside_do 'ip route del unreachable "$DC1_ADDRESS" table local && ip route flush cache'
    well_again
}
controller_is_not_trusted() {
    cp /etc/writeback/other.pem /etc/writeback/directory-ca.pem
    sed -i '/^\[Directory/,/^\[Issuer/s|^CaFile=.*|CaFile=/etc/writeback/directory-ca.pem|' "$CONFIG"
    restart
    within 60 eval '[[ $(status_line) == *"relay primary connected"* ]]'
    fails alice
    reads 33009
    step 'See which step fails'
    types 1 || true
    reads 35032
    step 'Certificate not trusted'
    types 1 || true
    grep 'CaFile= names (now$\|/etc/writeback/directory-ca.pem' /tmp/entry >/dev/null
    say '(puts the certificate of that authority into /etc/writeback/directory-ca.pem)'
    cp /etc/writeback/ca.pem /etc/writeback/directory-ca.pem
    types 2
    well_again
}
controller_has_another_name() {
    cp /etc/hosts /tmp/hosts
    echo "127.0.0.2 domain.corp.example" >>/tmp/hosts
    mount --bind /tmp/hosts /etc/hosts
    sed -i 's/^Controllers=.*/Controllers=domain.corp.example/' "$CONFIG"
    restart
    reads 35032
    step 'Certificate of another name'
    # As the message names it.
    grep -o "$WRITEBACK_LAB_DC" /tmp/entry >/dev/null
    edits "s/^Controllers=.*/Controllers=$WRITEBACK_LAB_DC/"
    types 1
    umount /etc/hosts
    well_again
}
controller_expires_soon() {
    outside_do '"$LAB/ca" "$SCRATCH/ca" leaf dc1 "DNS:dc1.$DOMAIN,DNS:$DOMAIN,IP:$DC1_ADDRESS" 7; cp "$SCRATCH/ca"/dc1.* "$ROOT/lab/tls"; controller_stop dc1; controller_start dc1; controller_wait dc1'
    restart
    reads 35033
    step 'See it:'
    types 1
    grep notAfter /tmp/output
    step "Renew the controller's certificate"
    outside_do 'controller_certify dc1; controller_stop dc1; controller_start dc1; controller_wait dc1'
    begin
    well_again
    ! new_entry 35033
}
controller_has_expired() {
    outside_do '"$LAB/ca" "$SCRATCH/ca" leaf dc1 "DNS:dc1.$DOMAIN,DNS:$DOMAIN,IP:$DC1_ADDRESS" -1; cp "$SCRATCH/ca"/dc1.* "$ROOT/lab/tls"; controller_stop dc1; controller_start dc1'
    restart
    reads 35032
    step 'Certificate expired'
    types 1
    say '(has the controller get a new one)'
    outside_do 'controller_certify dc1; controller_stop dc1; controller_start dc1; controller_wait dc1'
    well_again
}
bind_password_is_wrong() {
    local password
    password=$(cat /etc/writeback/credentials/bind-password)
    printf %s 'not it' >/etc/writeback/credentials/bind-password
    restart
    reads 35034
    step 'Wrong password (52e)'
    types 1 <<<"$password"
    types 2
    step 'Try by hand'
    types 1 "s/ -W$/ -y <(printf %s '$password')/"
    well_again
}
# account_is CODE WORDS STEP NUMBER: what it reads, and the command that it types in PowerShell.
account_is() {
    restart
    reads 35034
    grep "$2" /tmp/entry | grep "$1" >/dev/null
    step "$3"
    types "$4" 's/NAME/svc-writeback/'
    step 'Once the account is mended'
    types 1
    well_again
}
account_is_disabled() {
    agent_gets 'userAccountControl: 66050'
    account_is 533 'is disabled' 'Disabled (533)' 1
}
account_has_expired() {
    agent_gets 'accountExpires: 129000000000000000'
    account_is 701 'has expired' 'expired (701)' 2
}
account_is_locked() {
    local _
    for _ in 1 2 3 4 5; do
        ! LDAPTLS_CACERT=/etc/writeback/ca.pem ldapwhoami -x -H "ldaps://$WRITEBACK_LAB_DC" -D "$WRITEBACK_LAB_SERVICE_DN" \
            -w 'somebody guesses' 2>/dev/null || return 1
    done
    account_is 775 'locked out' 'locked out (775)' 3
}
account_password_has_expired() {
    agent_gets 'userAccountControl: 512'
    outside_do 'in_tree samba-tool domain passwordsettings set --max-pwd-age=20 -H /lab/dc1/private/sam.ldb'
    account_is 532 'has expired' 'Password expired (532)' 1
    outside_do 'in_tree samba-tool domain passwordsettings set --max-pwd-age=42 -H /lab/dc1/private/sam.ldb'
}
account_must_change_its_password() {
    agent_gets 'userAccountControl: 512'
    agent_gets 'pwdLastSet: 0'
    account_is 773 'must change' 'must be changed first (773)' 2
    agent_gets 'userAccountControl: 66048'
}
account_may_not_sign_in_now() {
    agent_gets "logonHours:: $(head -c 21 /dev/zero | base64)"
    account_is 530 'at this hour' 'Not at this hour (530)' 1
}
rights_are_missing() {
    fails oscar
    reads 33004
    step 'the very command that grants it'
    types 1 || true
    while read -r line; do
        say "\$ $line"
        bash -c "$line" | shown
    done < <(tr '\n' ' ' </tmp/output | tr -s ' ' | grep -o 'dsacls "[^"]*"\( /[A-Z:]*\( "[^"]*"\)*\)*' | sort -u)
    works oscar
}
administrator_is_none_any_more() {
    outside_do 'in_tree samba-tool group removemembers "Domain Admins" admin-protected -H /lab/dc1/private/sam.ldb'
    fails admin-protected
    reads 35003
    step 'no longer privileged'
    types 1 's/NAME/admin-protected/'
    begin
    fails admin-protected
    reads 33004
    step 'was an administrator once'
    types 2 's/"CN=NAME,OU=..."/"CN=admin-protected,OU=Staff,DC=corp,DC=example"/'
    works admin-protected
}
password_cannot_be_unexpired() {
    local sid
    outside_do 'in_tree /usr/bin/python3 /lab/dc-command.py sid-of svc-writeback'
    sid=$(grep -o 'S-1-[0-9-]*' "$SCRATCH/log/requests.log")
    outside_do "in_tree samba-tool dsacl delete --objectdn=$WRITEBACK_LAB_BASE_DN -s /lab/dc1/etc/smb.conf --sddl='(OA;;CR;ccc2dc7d-a6ad-4a7a-8846-c04e3cc53501;;$sid)(OA;;CR;ccc2dc7d-a6ad-4a7a-8846-c04e3cc53501;;AU)'"
    restart
    reads 35039
    step 'with the command above'
    local command
    command=$(sed 's/^░░ //' /tmp/entry | tr '\n' ' ' | grep -o 'dsacls "DC=corp[^"]*" /G "[^"]*"' | head -n 1)
    say "\$ $command"
    bash -c "$command" | shown
    begin
    restart
    step 'Look at it again'
    types 1 's/NAME/alice/'
    grep '✓ Unexpire Password' /tmp/output
    ! new_entry 35039
    well_again
}
# In a lab of a controller that has none (--dc 4.22).
policy_hints_are_missing() {
    restart
    within 20 has_event 35031
    [[ $(ask alice '{"members": {"operation": "check", "newPassword": null}}') == *'"PolicyHintsUnavailable"'* ]]
    fails alice
    reads 35010
    step 'See what each controller has'
    types_in_vain 1
    step 'Only where history may be skipped'
    edits 's/^PolicyHints=.*/PolicyHints=prefer/'
    types 1
    well_again
}
user_is_not_found() {
    sed -i "s/^BaseDn=.*/BaseDn=OU=Other,$WRITEBACK_LAB_BASE_DN/" "$CONFIG"
    restart
    within 60 is_ready
    fails alice
    reads 33002
    step 'Look for the user as the agent does'
    types_in_vain 1
    step 'widen BaseDn='
    edits "s/^BaseDn=.*/BaseDn=$WRITEBACK_LAB_BASE_DN/"
    types 1
    well_again
}
user_is_out_of_scope() {
    sed -i "/^\[Directory/a DeniedTargets=OU=Staff,$WRITEBACK_LAB_BASE_DN" "$CONFIG"
    restart
    within 60 is_ready
    fails alice
    reads 35005
    step 'Change AllowedTargets= or DeniedTargets='
    edits '/^DeniedTargets=/d'
    types 1
    well_again
}
two_users_match() {
    local more='{"members":{"user":{"onPremisesImmutableId":"ICEiIyQlJicoKSorLC0uLw=="}}}' filter='\\20\\21\\22\\23\\24\\25\\26\\27\\28\\29\\2a\\2b\\2c\\2d\\2e\\2f'
    fails heidi "$more"
    reads 33003
    step 'See which attribute it is'
    types 1 || true
    step 'Find the accounts'
    types 1 "s/ATTRIBUTE=VALUE/mS-DS-ConsistencyGuid=$filter/"
    step 'Clear the attribute'
    types 1 's/"CN=..."/"CN=ivan,OU=Staff,DC=corp,DC=example"/; s/ATTRIBUTE/mS-DS-ConsistencyGuid/'
    works heidi "$more"
}
user_is_disabled() {
    fails carol
    reads 33005
    step 'Enable the account in the directory'
    types 1 's/NAME/carol/'
    works carol
}
policy_refuses() {
    fails alice '{"members":{"newPassword":"short"}}'
    reads 33008
    step 'Choose another password that keeps the rules'
    works alice
}
administrator_uses_the_wrong_portal() {
    fails alice '{"claims":{"azp":"00000006-0000-0ff1-ce00-000000000000"}}'
    reads 35002
    step 'Reset the password again in the Azure portal'
    works alice
}
administrator_has_no_role() {
    fails alice '{"claims":{"wids":[]}}'
    reads 35001
    step 'Assign one of the roles'
    works alice
}
account_is_asked_for_too_often() {
    sed -i '/^\[Authorization/a AccountRate=1/h' "$CONFIG"
    restart
    within 60 is_ready
    works bob '{"members":{"newPassword":"Ab1!-long-enough-for-bob"}}'
    fails bob
    reads 35008
    step 'find out who asks'
    types 1
    grep 'WRITEBACK_INITIATOR=' /tmp/output
    step 'A limit that is too low'
    edits '/^AccountRate=/d'
    types 1
    well_again
}

# ---- All of them ---------------------------------------------------------------------------------

# cure WHAT FUNCTION: with its story printed.
cure() {
    local name=$1
    shift
    printf '\n==== %s\n' "$name"
    begin
    # Not as a condition, in which set -e would be off.
    (set -e; "$@") >/tmp/story 2>&1 &
    if wait $!; then
        cat /tmp/story
        echo "ok - $name"
        passed=$((passed + 1))
    else
        cat /tmp/story
        echo "not ok - $name"
        journalctl --no-pager -n 15 -o cat -u writebackd | shown
        failed=$((failed + 1))
        systemctl stop writebackd || true
        umount -q /var/lib/writeback || true
        rm -rf /etc/writeback /var/lib/writeback
        cp -a /good/. /
        outside_do 'for address in "$CLOUD_ADDRESS" "$DC1_ADDRESS"; do ip route del unreachable "$address" table local; done'
        restart || true
        within 30 is_ready || true
    fi
}

inside() {
    installs || return
    systemctl start writebackd
    provide_controller_commands
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout /dev/null -out /etc/writeback/other.pem \
        -subj '/CN=another authority' 2>/dev/null
    mkdir -p /good/etc /good/var/lib
    cp -a /etc/writeback /good/etc
    outside_do 'in_tree samba-tool domain passwordsettings set --min-pwd-age=0 -H /lab/dc1/private/sam.ldb'
    within 30 has_event 35031
    cp -a /var/lib/writeback /good/var/lib

    local only=${WRITEBACK_LAB_CURES-}
    while read -r function name; do
        case $function in
        policy_hints_are_missing) [[ $only == "$function" ]] || continue ;;
        *) [[ ! $only || $only == *"$function"* ]] || continue ;;
        esac
        cure "$name" "$function"
    done <<'CURES'
relay_key_is_wrong              the relay's key is wrong
relay_is_blocked                a firewall blocks the way to the relay
relay_is_not_trusted            the relay's certificate is not trusted
relay_has_no_such_connection    the hybrid connection has another name
issuer_is_not_reached           the token issuer is not reached
token_has_expired               the asker's token has expired
request_is_from_the_future      the portal's clock is wrong
clock_is_wrong                  the clock of this host is wrong
keys_were_lost                  the agent's keys were lost
configuration_is_wrong          the configuration is wrong
reload_is_refused               the configuration is wrong at a reload
keys_are_damaged                the agent's keys are damaged
keys_have_expired               the agent's keys have expired
keys_may_not_be_read            the agent's keys belong to somebody else
disk_is_full                    the disk is full
state_is_another_hosts          the state directory is a copy of another host's
state_was_copied_to_a_second_agent    the state directory was copied for a second agent
machine_has_another_id          the machine id of this host was changed
controller_is_not_found         the controller's name is not found
controller_is_blocked           a firewall blocks the way to the controller
controller_is_not_trusted       the controller's certificate is not trusted
controller_has_another_name     the controller's certificate bears another name
controller_expires_soon         the controller's certificate expires soon
controller_has_expired          the controller's certificate has expired
bind_password_is_wrong          the password of the agent's account is wrong
account_is_disabled             the agent's account is disabled
account_has_expired             the agent's account has expired
account_is_locked               the agent's account is locked out
account_password_has_expired    the password of the agent's account has expired
account_must_change_its_password    the agent's account must change its password
account_may_not_sign_in_now     the agent's account may not sign in at this hour
rights_are_missing              the agent's account lacks its rights on a user
administrator_is_none_any_more  a user was an administrator once
password_cannot_be_unexpired    the agent's account may not unexpire passwords
policy_hints_are_missing        the controller has no policy hints
user_is_not_found               the user is not found
user_is_out_of_scope            the user is out of scope
two_users_match                 two users match
user_is_disabled                the user is disabled
policy_refuses                  the policy refuses the password
administrator_uses_the_wrong_portal    the password was reset in the Microsoft 365 admin center
administrator_has_no_role       the administrator has no role
account_is_asked_for_too_often  an account is asked for too often
CURES
    note_events
    echo
}

[[ ${BASH_SOURCE[0]} != "$0" ]] || container_run "$@"
