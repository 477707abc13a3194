//! The filter of system calls.
//!
//! It denies what no build, test or server needs and what has been the way out of sandboxes:
//! namespaces, mounts, key rings, other processes' memory, large kernel interfaces that are rarely
//! looked at, and sockets to anything but this network.

mod denied;

use std::io;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompFilter, TargetArch, sock_filter,
};

use crate::local::step::{During as _, Failure, Step};

/// A call of the x32 ABI, in which every call has a second number, bears this bit.
const X32_BIT: u32 = 0x4000_0000;

/// Takes the filters upon init and all that it starts.
pub(super) fn install() -> Result<(), Failure> {
    let install = || {
        for program in programs()? {
            seccompiler::apply_filter(&program).map_err(of_filter)?;
        }
        Ok::<_, io::Error>(())
    };
    install().during(Step::Seccomp, || {
        "install the system call filter".to_owned()
    })
}

/// The kernel asks each of them, and a refusal outweighs a permission.
fn programs() -> io::Result<[BpfProgram; 2]> {
    let denied = filter(denied::calls(), libc::EPERM)?;
    let pretended = filter(denied::pretended(), 0)?;
    Ok([[unknown_calls(), denied].concat(), pretended])
}

/// A filter that answers these calls with `errno` and lets all others pass.
fn filter(
    calls: Result<denied::Calls, BackendError>,
    errno: libc::c_int,
) -> io::Result<BpfProgram> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(io::Error::other)?;
    let answer = SeccompAction::Errno(errno.cast_unsigned());
    let filter =
        calls.and_then(|calls| SeccompFilter::new(calls, SeccompAction::Allow, answer, arch));
    filter.and_then(TryInto::try_into).map_err(io::Error::other)
}

/// Calls that do not exist for the processes inside: all of the x32 ABI, which the list does not
/// know, and those whose flags and modes lie in memory, where a filter cannot see them. Programs and
/// the C library then use the older calls.
fn unknown_calls() -> Vec<sock_filter> {
    let number = |call: libc::c_long| call.cast_unsigned().try_into().unwrap_or(u32::MAX);
    let unknown = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();
    let is = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    vec![
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, NUMBER_OFFSET),
        jump(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, X32_BIT, 2, 0),
        jump(is, number(libc::SYS_clone3), 1, 0),
        jump(is, number(libc::SYS_openat2), 0, 1),
        statement(libc::BPF_RET | libc::BPF_K, unknown),
    ]
}

/// Where the number of the call is in what a filter sees.
const NUMBER_OFFSET: u32 = 0;

fn statement(code: u32, k: u32) -> sock_filter {
    jump(code, k, 0, 0)
}

fn jump(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter {
        code: code.try_into().unwrap_or_default(),
        jt,
        jf,
        k,
    }
}

fn of_filter(error: seccompiler::Error) -> io::Error {
    match error {
        seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error) => error,
        error => io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: u32 = libc::SECCOMP_RET_ALLOW;
    const DENIED: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    const UNKNOWN: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

    #[cfg(target_arch = "x86_64")]
    const ARCH: u32 = 0xc000_003e;
    #[cfg(target_arch = "aarch64")]
    const ARCH: u32 = 0xc000_00b7;

    /// What the filter answers to a call: the kernel's machine, as far as filters use it.
    fn answer_of(arch: u32, number: i64, args: [u64; 6]) -> u32 {
        let mut data = Vec::new();
        data.extend(u32::try_from(number).unwrap().to_ne_bytes());
        data.extend(arch.to_ne_bytes());
        data.extend(0_u64.to_ne_bytes());
        data.extend(args.iter().flat_map(|arg| arg.to_ne_bytes()));
        let answers = programs().unwrap().map(|program| run(&program, &data));
        // The kernel takes the strictest, which has the lowest number but for the first bit.
        let strictness = |answer: &u32| (*answer & libc::SECCOMP_RET_ACTION_FULL).cast_signed();
        answers.into_iter().min_by_key(strictness).unwrap()
    }

    fn run(program: &[sock_filter], data: &[u8]) -> u32 {
        let (mut at, mut accumulator) = (0, 0_u32);
        loop {
            let step = &program[at];
            at += 1;
            let branch = |taken: bool| usize::from(if taken { step.jt } else { step.jf });
            match u32::from(step.code) {
                0x20 => {
                    let bytes = data[step.k as usize..][..4].try_into().unwrap();
                    accumulator = u32::from_ne_bytes(bytes);
                }
                0x54 => accumulator &= step.k,
                0x06 => return step.k,
                0x05 => at += step.k as usize,
                0x15 => at += branch(accumulator == step.k),
                0x25 => at += branch(accumulator > step.k),
                0x35 => at += branch(accumulator >= step.k),
                0x45 => at += branch(accumulator & step.k != 0),
                code => panic!("an instruction {code:#x} that the test does not know"),
            }
        }
    }

    fn answer(number: i64, args: &[u64]) -> u32 {
        let mut all = [0; 6];
        all[..args.len()].copy_from_slice(args);
        answer_of(ARCH, number, all)
    }

    #[test]
    fn honest_calls_pass() {
        for number in [
            libc::SYS_read,
            libc::SYS_openat,
            libc::SYS_execve,
            libc::SYS_wait4,
            libc::SYS_prctl,
            libc::SYS_prlimit64,
            libc::SYS_renameat2,
            libc::SYS_landlock_restrict_self,
            libc::SYS_seccomp,
            libc::SYS_memfd_create,
            libc::SYS_pidfd_open,
        ] {
            assert_eq!(answer(number, &[]), ALLOWED, "{number}");
        }
    }

    #[test]
    fn ways_out_are_denied() {
        for number in [
            libc::SYS_io_uring_setup,
            libc::SYS_bpf,
            libc::SYS_perf_event_open,
            libc::SYS_userfaultfd,
            libc::SYS_keyctl,
            libc::SYS_ptrace,
            libc::SYS_process_vm_writev,
            libc::SYS_mount,
            libc::SYS_open_tree,
            libc::SYS_mount_setattr,
            libc::SYS_chroot,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_open_by_handle_at,
            libc::SYS_pidfd_getfd,
            libc::SYS_clock_settime,
            libc::SYS_memfd_secret,
            #[cfg(target_arch = "x86_64")]
            libc::SYS_modify_ldt,
        ] {
            assert_eq!(answer(number, &[]), DENIED, "{number}");
        }
    }

    #[test]
    fn processes_are_made_without_namespaces() {
        let thread = libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_THREAD;
        assert_eq!(answer(libc::SYS_clone, &[thread as u64]), ALLOWED);
        assert_eq!(answer(libc::SYS_clone, &[libc::SIGCHLD as u64]), ALLOWED);
        for flag in [libc::CLONE_NEWUSER, libc::CLONE_NEWNS, libc::CLONE_NEWNET] {
            let flags = (flag | libc::SIGCHLD) as u64;
            assert_eq!(answer(libc::SYS_clone, &[flags]), DENIED, "{flag:#x}");
        }
    }

    #[test]
    fn calls_with_their_arguments_in_memory_do_not_exist() {
        for number in [libc::SYS_clone3, libc::SYS_openat2] {
            assert_eq!(answer(number, &[]), UNKNOWN, "{number}");
        }
    }

    #[test]
    fn sockets_lead_nowhere_else() {
        let stream = libc::SOCK_STREAM as u64;
        for family in [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6] {
            let args = [family as u64, stream, 0];
            assert_eq!(answer(libc::SYS_socket, &args), ALLOWED, "{family}");
        }
        for family in [
            libc::AF_VSOCK,
            libc::AF_PACKET,
            libc::AF_ALG,
            libc::AF_BLUETOOTH,
        ] {
            for call in [libc::SYS_socket, libc::SYS_socketpair] {
                let args = [family as u64, stream, 0];
                assert_eq!(answer(call, &args), DENIED, "{family}");
            }
        }
        // The kernel looks at the low half alone.
        let disguised = (1 << 32) | libc::AF_VSOCK as u64;
        assert_eq!(answer(libc::SYS_socket, &[disguised, stream, 0]), DENIED);
        let disguised = (1 << 32) | libc::AF_UNIX as u64;
        assert_eq!(answer(libc::SYS_socket, &[disguised, stream, 0]), ALLOWED);

        let raw = libc::SOCK_RAW as u64;
        let netlink = |protocol: i32| {
            let args = [libc::AF_NETLINK as u64, raw, protocol as u64];
            answer(libc::SYS_socket, &args)
        };
        assert_eq!(netlink(libc::NETLINK_ROUTE), ALLOWED);
        assert_eq!(netlink(libc::NETLINK_NETFILTER), DENIED);
    }

    #[test]
    fn rare_protocols_are_not_loaded() {
        let socket = |kind: i32, protocol: i32| {
            let cloexec = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
            let args = [
                libc::AF_INET6 as u64,
                (kind | cloexec) as u64,
                protocol as u64,
            ];
            answer(libc::SYS_socket, &args)
        };
        for (kind, protocol) in [
            (libc::SOCK_STREAM, 0),
            (libc::SOCK_STREAM, libc::IPPROTO_TCP),
            (libc::SOCK_STREAM, libc::IPPROTO_MPTCP),
            (libc::SOCK_DGRAM, libc::IPPROTO_UDP),
            (libc::SOCK_DGRAM, libc::IPPROTO_ICMPV6),
        ] {
            assert_eq!(socket(kind, protocol), ALLOWED, "{kind} {protocol}");
        }
        for (kind, protocol) in [
            (libc::SOCK_STREAM, libc::IPPROTO_SCTP),
            (libc::SOCK_SEQPACKET, 0),
            (libc::SOCK_DCCP, 0),
            (libc::SOCK_DGRAM, libc::IPPROTO_UDPLITE),
        ] {
            assert_eq!(socket(kind, protocol), DENIED, "{kind} {protocol}");
        }
    }

    #[test]
    fn the_limit_of_core_dumps_seems_to_change() {
        let core = u64::from(libc::RLIMIT_CORE);
        let files = u64::from(libc::RLIMIT_NOFILE);
        let pretended = libc::SECCOMP_RET_ERRNO;
        assert_eq!(answer(libc::SYS_setrlimit, &[core, 1]), pretended);
        assert_eq!(answer(libc::SYS_prlimit64, &[0, core, 1, 0]), pretended);
        assert_eq!(answer(libc::SYS_prlimit64, &[0, core, 0, 1]), ALLOWED);
        assert_eq!(answer(libc::SYS_prlimit64, &[0, files, 1, 0]), ALLOWED);
    }

    #[test]
    fn nobody_types_into_a_terminal() {
        for request in [0x5412_u64, 0x541c, (1 << 32) | 0x5412] {
            assert_eq!(
                answer(libc::SYS_ioctl, &[0, request]),
                DENIED,
                "{request:#x}"
            );
        }
        assert_eq!(answer(libc::SYS_ioctl, &[0, 0x5401]), ALLOWED);
    }

    #[test]
    fn no_file_becomes_privileged() {
        let setuid = 0o4755;
        let cwd = libc::AT_FDCWD as u64;
        assert_eq!(answer(libc::SYS_fchmod, &[3, setuid]), DENIED);
        assert_eq!(answer(libc::SYS_fchmodat, &[cwd, 0, setuid]), DENIED);
        assert_eq!(answer(libc::SYS_fchmodat, &[cwd, 0, 0o2755]), ALLOWED);
        assert_eq!(answer(libc::SYS_mknodat, &[cwd, 0, 0o104_755, 0]), DENIED);
        for flag in [libc::O_CREAT, libc::O_TMPFILE] {
            let flags = (flag | libc::O_WRONLY) as u64;
            let open = |mode| answer(libc::SYS_openat, &[cwd, 0, flags, mode]);
            assert_eq!((open(setuid), open(0o755)), (DENIED, ALLOWED), "{flag:#x}");
        }
        // Nothing is made, so the mode is whatever was there.
        let flags = (libc::O_RDONLY | libc::O_DIRECTORY) as u64;
        assert_eq!(answer(libc::SYS_openat, &[cwd, 0, flags, setuid]), ALLOWED);
    }

    #[test]
    fn other_abis_are_refused() {
        let x32 = libc::SYS_unshare | i64::from(X32_BIT);
        assert_eq!(answer(x32, &[]), UNKNOWN);
        let i386 = 0x4000_0003;
        assert_eq!(answer_of(i386, 20, [0; 6]), libc::SECCOMP_RET_KILL_PROCESS);
    }
}
