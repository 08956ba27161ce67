#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Fills a freshly provisioned domain with the lab's people, rights and policies.

    populate.py SMB.CONF USERS SERVICE-PASSWORD USER-PASSWORD

Works on the database itself, while no controller runs. USERS is how many numbered users (user0001, …) there are beside
the ones with a story.
"""

import sys
import time

import ldb
from samba.auth import system_session
from samba.dcerpc import security
from samba.ndr import ndr_unpack
from samba.param import LoadParm
from samba.samdb import SamDB
from samba.sd_utils import SDUtils

# userAccountControl (MS-ADTS 2.2.16)
NORMAL_ACCOUNT = 0x200
ACCOUNT_DISABLED = 0x2
SMARTCARD_REQUIRED = 0x40000
NEVER_EXPIRES = 0x10000

# Rights and attributes by schemaIDGUID and rightsGuid (MS-ADTS 5.1.3.2.1, MS-ADA)
CLASS_USER = "bf967aba-0de6-11d0-a285-00aa003049e2"
RESET_PASSWORD = "00299570-246d-11d0-a768-00aa006e0529"
UNEXPIRE_PASSWORD = "ccc2dc7d-a6ad-4a7a-8846-c04e3cc53501"
LOCKOUT_TIME = "28630ebf-41d5-11d1-a9c1-0000f80367c1"
PWD_LAST_SET = "bf967a0a-0de6-11d0-a285-00aa003049e2"

# DSDB_CONTROL_PASSWORD_BYPASS_LAST_SET: lets a database be given passwords that were set in the past.
SET_IN_THE_PAST = "local_oid:1.3.6.1.4.1.7165.4.3.20:0"

SECOND = 10_000_000
DAY = 24 * 60 * 60 * SECOND


def now():
    """The time as AD writes it: 100 ns since 1601."""
    return (int(time.time()) + 11_644_473_600) * SECOND


class Domain:
    def __init__(self, smb_conf, user_password):
        settings = LoadParm()
        settings.load(smb_conf)
        self.sam = SamDB(url=None, session_info=system_session(), lp=settings)
        self.rights = SDUtils(self.sam)
        self.base = str(self.sam.domain_dn())
        self.realm = settings.get("realm").lower()
        self.user_password = user_password

    def add_unit(self, name, parent=None):
        dn = f"OU={name},{parent or self.base}"
        self.sam.add({"dn": dn, "objectClass": "organizationalUnit"})
        return dn

    def add_group(self, name, parent, members):
        dn = f"CN={name},{parent}"
        self.sam.add({"dn": dn, "objectClass": "group", "sAMAccountName": name, "member": members})
        return dn

    def add_user(self, account, parent, name=None, password=None, control=NORMAL_ACCOUNT, **attributes):
        """Adds a user whose password was set a month ago, so that no minimum age stands in the way of a reset."""
        name = name or account
        dn = ldb.Dn(self.sam, parent)
        dn.add_child(ldb.Dn(self.sam, "CN=x"))
        dn.set_component(0, "CN", name)
        quoted = f'"{password or self.user_password}"'
        self.sam.add({
            "dn": dn,
            "objectClass": "user",
            "sAMAccountName": account,
            "userPrincipalName": f"{account}@{self.realm}",
            "displayName": name,
            "userAccountControl": str(control),
            "unicodePwd": quoted.encode("utf-16-le"),
            "pwdLastSet": str(now() - 30 * DAY),
            **attributes,
        }, controls=[SET_IN_THE_PAST])
        return str(dn)

    def replace(self, dn, **attributes):
        change = ldb.Message(ldb.Dn(self.sam, dn))
        for name, value in attributes.items():
            change[name] = ldb.MessageElement(str(value), ldb.FLAG_MOD_REPLACE, name)
        self.sam.modify(change)

    def sid(self, dn):
        found = self.sam.search(dn, ldb.SCOPE_BASE, attrs=["objectSid"])[0]
        return ndr_unpack(security.dom_sid, found["objectSid"][0])

    def grant(self, dn, *entries):
        self.rights.dacl_add_ace(dn, "".join(entries))

    def protect(self, dn):
        """What the SDProp task of a real AD does to members of its protected groups, and Samba does not: the account
        gets AdminSDHolder's access list, inherits nothing any more, and is marked."""
        holder = self.rights.get_sd_as_sddl(f"CN=AdminSDHolder,CN=System,{self.base}")
        entries = holder[holder.index("D:"):]
        if "S:" in entries:
            entries = entries[:entries.index("S:")]
        self.rights.modify_sd_on_dn(dn, "O:DAG:DAD:PAI" + entries[entries.index("("):], controls=["sd_flags:1:7"])
        self.replace(dn, adminCount=1)


def set_policies(domain, bob):
    """AD's own defaults, but that passwords do not grow old (a template would), and that five wrong ones lock until
    somebody unlocks. bob's password is older than the policy that it would not satisfy."""
    domain.replace(domain.base, minPwdLength=7, pwdHistoryLength=24, minPwdAge=-DAY, maxPwdAge=-2**63,
                   lockoutThreshold=5, lockoutDuration=0, lockOutObservationWindow=-1800 * SECOND)
    domain.sam.add({
        "dn": f"CN=Long passwords,CN=Password Settings Container,CN=System,{domain.base}",
        "objectClass": "msDS-PasswordSettings",
        "msDS-PasswordSettingsPrecedence": "10",
        "msDS-MinimumPasswordLength": "15",
        "msDS-PasswordComplexityEnabled": "TRUE",
        "msDS-PasswordReversibleEncryptionEnabled": "FALSE",
        "msDS-PasswordHistoryLength": "24",
        "msDS-MinimumPasswordAge": str(-DAY),
        "msDS-MaximumPasswordAge": str(-2**63),
        "msDS-LockoutThreshold": "5",
        "msDS-LockoutDuration": "0",
        "msDS-LockoutObservationWindow": str(-1800 * SECOND),
        "msDS-PSOAppliesTo": bob,
    })


def grant_least_rights(domain, service, unit):
    """What an administrator gives the agent's account, and nothing beyond: to reset passwords, to unlock and to ask
    for a change at the next sign-in, of the users below one unit."""
    sid = domain.sid(service)
    domain.grant(unit,
                 f"(OA;CIIO;CR;{RESET_PASSWORD};{CLASS_USER};{sid})",
                 f"(OA;CIIO;WP;{LOCKOUT_TIME};{CLASS_USER};{sid})",
                 f"(OA;CIIO;WP;{PWD_LAST_SET};{CLASS_USER};{sid})")
    domain.grant(domain.base, f"(OA;;CR;{UNEXPIRE_PASSWORD};;{sid})")


def add_people(domain, staff):
    """The users with a story. What the controller itself must do to them (dave's lock, the age of erin's password) is
    done by `domain` and `run`."""
    groups = domain.add_unit("Groups")
    other = domain.add_unit("Other")

    domain.add_user("alice", staff)
    bob = domain.add_user("bob", staff)
    domain.add_user("carol", staff, control=NORMAL_ACCOUNT | ACCOUNT_DISABLED)
    domain.add_user("dave", staff)
    domain.add_user("erin", staff)
    domain.add_user("mustchange", staff, pwdLastSet="0")
    domain.add_user("expired", staff, accountExpires=str(now() - DAY))
    domain.add_user("smartcard", staff, control=NORMAL_ACCOUNT | SMARTCARD_REQUIRED)
    domain.add_user("oscar", other)

    # Administrators: one that AD protects, one that only the configuration calls privileged, through a nested group.
    protected = domain.add_user("admin-protected", staff)
    domain.sam.add_remove_group_members("Domain Admins", ["admin-protected"], add_members_operation=True)
    domain.protect(protected)
    frank = domain.add_user("frank", staff)
    backup = domain.add_group("Backup Crew", groups, [frank])
    domain.add_group("Tier 0 Operators", groups, [backup])

    # Names that DNs, filters and UTF-8 trip over.
    domain.add_user("jürgen", staff, name="Jürgen Müßig", userPrincipalName=f"juergen@{domain.realm}")
    domain.add_user("anna", staff, name="Smith, Anna")
    domain.add_user("paul", staff, name="Paul (External) *")
    domain.add_user("bartholomew.longnam", staff, name="Bartholomew Maximilian Featherstonehaugh-Cholmondeley of Ashford",
                    userPrincipalName=f"{'bartholomew.' * 5}long@{domain.realm}")

    # Source anchors: a moved account that keeps the one it was first synchronised with, and two that claim one anchor.
    anchor = "mS-DS-ConsistencyGuid"
    domain.add_user("grace", staff, **{anchor: bytes(range(0x10, 0x20))})
    domain.add_user("heidi", staff, **{anchor: bytes(range(0x20, 0x30))})
    domain.add_user("ivan", staff, **{anchor: bytes(range(0x20, 0x30))})
    return bob


def main(smb_conf, users, service_password, user_password):
    domain = Domain(smb_conf, user_password)
    accounts = f"CN=Users,{domain.base}"

    domain.sam.transaction_start()
    staff = domain.add_unit("Staff")
    service = domain.add_user("svc-writeback", accounts, password=service_password,
                              control=NORMAL_ACCOUNT | NEVER_EXPIRES)
    domain.add_user("svc-norights", accounts, password=service_password, control=NORMAL_ACCOUNT | NEVER_EXPIRES)
    domain.sam.transaction_commit()

    domain.sam.transaction_start()
    grant_least_rights(domain, service, staff)
    bob = add_people(domain, staff)
    set_policies(domain, bob)
    if users:
        numbered = domain.add_unit("Numbered", staff)
        for number in range(1, users + 1):
            domain.add_user(f"user{number:04d}", numbered)
    domain.sam.transaction_commit()


main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4])
