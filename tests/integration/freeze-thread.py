#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Stops one thread of a process, as a disk that hangs would, until this script or the process ends.

    freeze-thread.py PID NAME
"""

import ctypes
import os
import sys

PTRACE_SEIZE = 0x4206
PTRACE_INTERRUPT = 0x4207

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)


def ptrace(request, thread):
    if libc.ptrace(request, thread, None, None) < 0:
        sys.exit(f"ptrace: {os.strerror(ctypes.get_errno())}")


def find_thread(pid, name):
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/comm", encoding="ascii") as comm:
            if comm.read().strip() == name:
                return int(thread)
    sys.exit(f"process {pid} has no thread {name}")


thread = find_thread(sys.argv[1], sys.argv[2])
ptrace(PTRACE_SEIZE, thread)
ptrace(PTRACE_INTERRUPT, thread)
os.waitpid(thread, 0x40000000)  # __WALL
print("frozen", flush=True)
os.waitpid(thread, 0x40000000)
