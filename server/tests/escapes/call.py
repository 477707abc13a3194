"""Makes system calls and says how each ended: call.py NAME[,ARGUMENT]...

An argument is a number, `text:` and a string, or `zeros:` and a length. A call is named, or given by
its number. What succeeds says ESCAPED, unless the name begins with `+`.
"""
import ctypes
import errno
import os
import sys

NUMBERS = {  # of x86_64
    "chmod": 90, "ptrace": 101, "syslog": 103, "mknod": 133, "uselib": 134, "personality": 135,
    "vhangup": 153, "pivot_root": 155, "adjtimex": 159, "chroot": 161, "acct": 163,
    "settimeofday": 164, "mount": 165, "umount2": 166, "swapon": 167, "swapoff": 168, "reboot": 169,
    "sethostname": 170, "setdomainname": 171, "iopl": 172, "ioperm": 173, "init_module": 175,
    "delete_module": 176, "quotactl": 179, "clock_settime": 227, "kexec_load": 246, "add_key": 248,
    "request_key": 249, "keyctl": 250, "migrate_pages": 256, "unshare": 272, "move_pages": 279,
    "perf_event_open": 298, "fanotify_init": 300, "open_by_handle_at": 304, "clock_adjtime": 305,
    "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312,
    "finit_module": 313, "kexec_file_load": 320, "bpf": 321, "userfaultfd": 323,
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428,
    "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433,
    "pidfd_open": 434, "clone3": 435, "pidfd_getfd": 438, "process_madvise": 440,
    "mount_setattr": 442, "quotactl_fd": 443, "landlock_create_ruleset": 444, "open_tree_attr": 467,
    "clone": 56, "socket": 41, "socketpair": 53, "ioctl": 16, "seccomp": 317, "prctl": 157,
}

libc = ctypes.CDLL(None, use_errno=True)


def argument(text):
    if text.startswith("text:"):
        return ctypes.c_char_p(text[5:].encode())
    if text.startswith("zeros:"):
        return ctypes.create_string_buffer(int(text[6:]))
    return ctypes.c_ulong(int(text, 0) % 2**64)


for call in sys.argv[1:]:
    name, *arguments = call.split(",")
    may_succeed, name = name.startswith("+"), name.lstrip("+")
    number = NUMBERS[name] if name in NUMBERS else int(name, 0)
    sys.stdout.flush()
    result = libc.syscall(ctypes.c_long(number), *[argument(text) for text in arguments])
    if result == 0 and name in ("clone", "clone3"):
        os._exit(0)
    if result < 0:
        print(name, errno.errorcode[ctypes.get_errno()])
    else:
        print(name, "works" if may_succeed else f"ESCAPED {result}")
