#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A Windows domain controller's commands, as far as the agent's texts name them, on a Samba one.

    dc-command.py COMMAND [ARGUMENT…]

Runs where the controller's files are, beside the controller.
"""

import re
import sys

import ldb
from samba.auth import system_session
from samba.dcerpc import security
from samba.dsdb import UF_DONT_EXPIRE_PASSWD
from samba.ndr import ndr_unpack
from samba.param import LoadParm
from samba.samdb import SamDB
from samba.sd_utils import SDUtils

settings = LoadParm()
settings.load("/lab/dc1/etc/smb.conf")
sam = SamDB(url=None, session_info=system_session(), lp=settings)
rights = SDUtils(sam)

USER = "bf967aba-0de6-11d0-a285-00aa003049e2"
OBJECTS = {  # rightsGuid, schemaIDGUID
    "Reset Password": "00299570-246d-11d0-a768-00aa006e0529",
    "Unexpire Password": "ccc2dc7d-a6ad-4a7a-8846-c04e3cc53501",
    "lockoutTime": "28630ebf-41d5-11d1-a9c1-0000f80367c1",
    "pwdLastSet": "bf967a0a-0de6-11d0-a285-00aa003049e2",
}


def find(name):
    found = sam.search(sam.domain_dn(), ldb.SCOPE_SUBTREE, f"(sAMAccountName={ldb.binary_encode(name)})", ["objectSid"])
    if len(found) != 1:
        sys.exit(f"Cannot find an object with identity: '{name}'")
    return found[0]


def sid_of(trustee):
    name = trustee.rsplit("\\", 1)[-1].split("@")[0]
    return ndr_unpack(security.dom_sid, find(name)["objectSid"][0])


def dsacls(dn, *options):
    """/G TRUSTEE:RIGHT;OBJECT[;CLASS] … with /I:S for what is below; /P:N inherits again."""
    below, granting = "/I:S" in options, False
    for option in options:
        if option == "/P:N":
            own = rights.get_sd_as_sddl(dn, controls=["sd_flags:1:4"])
            entries = [entry for entry in re.findall(r"\([^)]*\)", own) if ";ID" not in entry and "ID;" not in entry]
            rights.modify_sd_on_dn(dn, "D:AI" + "".join(entries), controls=["sd_flags:1:4"])
        if option.startswith("/"):
            granting = option == "/G"
        elif granting:
            trustee, right = option.split(":", 1)
            access, name, kind = (right.split(";") + [""])[:3]
            access = {"CA": "CR"}.get(access, access)
            rights.dacl_add_ace(dn, f"(OA;{'CIIO' if below else ''};{access};{OBJECTS[name]};"
                                    f"{USER if kind == 'user' else ''};{sid_of(trustee)})")
    print("The command completed successfully")


def replace(dn, attribute, values):
    change = ldb.Message(ldb.Dn(sam, str(dn)))
    change[attribute] = ldb.MessageElement(values, ldb.FLAG_MOD_REPLACE, attribute)
    sam.modify(change)


def set_user(name, option, value):
    """-Clear ATTRIBUTE, -PasswordNeverExpires $true, -ChangePasswordAtLogon $false."""
    user = find(name)
    if option == "-Clear":
        replace(user.dn, value, [])
    elif (option, value) == ("-PasswordNeverExpires", "$true"):
        control = int(str(sam.search(user.dn, ldb.SCOPE_BASE, attrs=["userAccountControl"])[0]["userAccountControl"]))
        replace(user.dn, "userAccountControl", [str(control | UF_DONT_EXPIRE_PASSWD)])
    elif (option, value) == ("-ChangePasswordAtLogon", "$false"):
        replace(user.dn, "pwdLastSet", ["-1"])
    else:
        sys.exit(f"Set-ADUser: {option} {value} is not known here")


def get_objects(_, expression, *properties):
    for found in sam.search(sam.domain_dn(), ldb.SCOPE_SUBTREE, expression, ["whenCreated"]):
        print(f"DistinguishedName : {found.dn}\nwhenCreated       : {found['whenCreated']}\n")


COMMANDS = {
    "dsacls": dsacls,
    "Set-ADUser": set_user,
    "Set-ADObject": lambda dn, _, attribute: replace(dn, attribute, []),
    "Get-ADObject": get_objects,
    "Clear-ADAccountExpiration": lambda name: replace(find(name).dn, "accountExpires", ["0"]),
    "sid-of": lambda name: print(sid_of(name)),  # not Windows's own
    "Unlock-ADAccount": lambda name: replace(find(name).dn, "lockoutTime", ["0"]),
    "Enable-ADAccount": lambda name: sam.enable_account(f"(sAMAccountName={name})"),
}

COMMANDS[sys.argv[1]](*sys.argv[2:])
