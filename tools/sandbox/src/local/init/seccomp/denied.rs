//! The denied calls, and those that only seem to succeed.

use std::collections::BTreeMap;

use seccompiler::{BackendError, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};

/// Calls with the conditions, one of which must hold; without conditions, always.
pub(super) type Calls = BTreeMap<i64, Vec<SeccompRule>>;

/// Denied whatever the arguments.
const ALWAYS: &[libc::c_long] = &[
    // Large interfaces with a history.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_fanotify_init,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    // Memory that even the kernel does not see, and no limit of memory can take back.
    libc::SYS_memfd_secret,
    // Key rings, which no namespace separates.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // Other processes' memory and files.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // The view of the file system.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    SYS_OPEN_TREE_ATTR,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_open_by_handle_at,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    // Namespaces.
    libc::SYS_unshare,
    libc::SYS_setns,
    // The machine.
    libc::SYS_kexec_load,
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_personality,
    libc::SYS_vhangup,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_settimeofday,
    libc::SYS_adjtimex,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
];

/// Newer than the constants.
const SYS_OPEN_TREE_ATTR: libc::c_long = 467;
const SYS_FCHMODAT2: libc::c_long = 452;

/// The namespaces that `clone` can make.
const NEW_NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];

/// What a socket may be: this machine's files, this network, and questions about its interfaces.
const FAMILIES: [libc::c_int; 4] = [
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
];

/// What this network's sockets may speak: 0 is the usual protocol of the type.
const PROTOCOLS: [libc::c_int; 6] = [
    0,
    libc::IPPROTO_TCP,
    libc::IPPROTO_MPTCP,
    libc::IPPROTO_UDP,
    libc::IPPROTO_ICMP,
    libc::IPPROTO_ICMPV6,
];

/// Types whose usual protocol is another one, which the kernel may have to load first.
const RARE_TYPES: [libc::c_int; 2] = [libc::SOCK_SEQPACKET, libc::SOCK_DCCP];
/// The rest of the argument is flags.
const TYPE_MASK: u64 = 0xf;

/// Types into the terminal it is called on, as if a person did.
const TERMINAL_INPUT: [u64; 2] = [0x5412, 0x541c];

/// The calls that set a file's mode, and the argument that is the mode. A file that is privileged
/// to whoever starts it would be so on the host, too.
const MODES: &[(libc::c_long, u8)] = &[
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_chmod, 1),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_creat, 1),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_mknod, 1),
    (libc::SYS_mknodat, 2),
    (libc::SYS_fchmod, 1),
    (libc::SYS_fchmodat, 2),
    (SYS_FCHMODAT2, 2),
];

/// The calls that make a file when they open it, and the argument that is the flags. The mode comes
/// after the flags, and says nothing where no file is made. `openat2` does not exist inside.
const OPENS: &[(libc::c_long, u8)] = &[
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_open, 1),
    (libc::SYS_openat, 2),
];
/// The flags of those that make one. The second is the part of `O_TMPFILE` that is its own.
const MAKING: [libc::c_int; 2] = [libc::O_CREAT, libc::O_TMPFILE & !libc::O_DIRECTORY];

/// The denied calls, with the conditions under which they are.
pub(super) fn calls() -> Result<Calls, BackendError> {
    let mut rules: Calls = ALWAYS.iter().map(|number| (*number, Vec::new())).collect();
    rules.insert(libc::SYS_clone, with_namespaces()?);
    rules.insert(libc::SYS_socket, sockets()?);
    rules.insert(libc::SYS_socketpair, vec![other_families()?]);
    rules.insert(libc::SYS_ioctl, terminal_input()?);
    for (number, mode) in MODES {
        let setuid = masked(*mode, u64::from(libc::S_ISUID))?;
        rules.insert(*number, vec![SeccompRule::new(vec![setuid])?]);
    }
    for (number, flags) in OPENS {
        rules.insert(*number, making_privileged(*flags)?);
    }
    Ok(rules)
}

fn making_privileged(flags: u8) -> Result<Vec<SeccompRule>, BackendError> {
    let rule = |flag: libc::c_int| {
        let setuid = masked(flags + 1, u64::from(libc::S_ISUID))?;
        SeccompRule::new(vec![masked(flags, number(flag))?, setuid])
    };
    MAKING.into_iter().map(rule).collect()
}

/// The calls that do nothing and seem to succeed. Scripts lower the limit of core dumps, which is as
/// low as it can be; a lower one would let them out.
pub(super) fn pretended() -> Result<Calls, BackendError> {
    let core = u64::from(libc::RLIMIT_CORE);
    let a_new_one = SeccompCondition::new(2, SeccompCmpArgLen::Qword, SeccompCmpOp::Ne, 0)?;
    let changed = vec![low(1, SeccompCmpOp::Eq, core)?, a_new_one];
    Ok(Calls::from([
        (
            libc::SYS_setrlimit,
            vec![SeccompRule::new(vec![low(0, SeccompCmpOp::Eq, core)?])?],
        ),
        (libc::SYS_prlimit64, vec![SeccompRule::new(changed)?]),
    ]))
}

fn with_namespaces() -> Result<Vec<SeccompRule>, BackendError> {
    let rule = |flag: &libc::c_int| {
        let flag = u64::from(flag.cast_unsigned());
        SeccompRule::new(vec![masked(0, flag)?])
    };
    NEW_NAMESPACES.iter().map(rule).collect()
}

fn sockets() -> Result<Vec<SeccompRule>, BackendError> {
    let netlink = low(0, SeccompCmpOp::Eq, number(libc::AF_NETLINK))?;
    let other = low(2, SeccompCmpOp::Ne, number(libc::NETLINK_ROUTE))?;
    let mut rules = vec![other_families()?, SeccompRule::new(vec![netlink, other])?];
    for family in [libc::AF_INET, libc::AF_INET6] {
        let of_family = low(0, SeccompCmpOp::Eq, number(family))?;
        for kind in RARE_TYPES {
            let of_kind = low(1, SeccompCmpOp::MaskedEq(TYPE_MASK), number(kind))?;
            rules.push(SeccompRule::new(vec![of_family.clone(), of_kind])?);
        }
        let mut unusual = vec![of_family];
        for protocol in PROTOCOLS {
            unusual.push(low(2, SeccompCmpOp::Ne, number(protocol))?);
        }
        rules.push(SeccompRule::new(unusual)?);
    }
    Ok(rules)
}

fn other_families() -> Result<SeccompRule, BackendError> {
    let each = FAMILIES.map(|family| low(0, SeccompCmpOp::Ne, number(family)));
    SeccompRule::new(each.into_iter().collect::<Result<_, _>>()?)
}

fn terminal_input() -> Result<Vec<SeccompRule>, BackendError> {
    let rule = |request: &u64| SeccompRule::new(vec![low(1, SeccompCmpOp::Eq, *request)?]);
    TERMINAL_INPUT.iter().map(rule).collect()
}

/// All bits of `mask` are set in an argument.
fn masked(argument: u8, mask: u64) -> Result<SeccompCondition, BackendError> {
    low(argument, SeccompCmpOp::MaskedEq(mask), mask)
}

/// Compares the low half of an argument, which is all that the kernel looks at in these calls.
fn low(argument: u8, how: SeccompCmpOp, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, how, value)
}

fn number(constant: libc::c_int) -> u64 {
    u64::from(constant.cast_unsigned())
}
