//! What facts mean for a run.

use std::io;

use super::facts::Facts;
use super::finding::Finding;

const USER_NAMESPACES: &str = "user namespaces";

/// The first version that closes what a renamed or linked file could open.
const GOOD_LANDLOCK: u32 = 2;
/// The first version that keeps commands from signalling what is not theirs.
const SCOPED_LANDLOCK: u32 = 6;

pub(super) fn user_namespaces(
    facts: &Facts,
    trial: Option<&dyn Fn() -> io::Result<()>>,
) -> Finding {
    let meaning = "a sandbox has users, processes, mounts and a network of its own";
    let Some(trial) = trial else {
        return match refusal(facts) {
            None => Finding::ok(
                USER_NAMESPACES,
                format!("{meaning} (by the settings; not tried)"),
            ),
            Some((why, remedy)) => refused(why).remedy(remedy),
        };
    };
    match trial() {
        Ok(()) => Finding::ok(USER_NAMESPACES, meaning),
        Err(error) => {
            let known = refusal(facts);
            let (why, remedy) = known.unwrap_or_else(|| unknown_refusal(facts));
            refused(&format!("{error}; {why}")).remedy(remedy)
        }
    }
}

fn refused(why: &str) -> Finding {
    Finding::no(
        USER_NAMESPACES,
        format!("the local sandbox cannot be opened: {why}"),
    )
}

/// Why the settings forbid them, and what to do.
fn refusal(facts: &Facts) -> Option<(&'static str, &'static str)> {
    let is = |setting: &Option<String>, value: &str| setting.as_deref() == Some(value);
    if !facts.has_user_namespaces {
        return Some((
            "this kernel has no user namespaces",
            "use a kernel with CONFIG_USER_NS",
        ));
    }
    if is(&facts.max_user_namespaces, "0") {
        return Some((
            "user.max_user_namespaces is 0",
            "sysctl -w user.max_user_namespaces=10000",
        ));
    }
    if facts.is_root {
        return None;
    }
    if is(&facts.unprivileged_userns_clone, "0") {
        return Some((
            "kernel.unprivileged_userns_clone is 0",
            "sysctl -w kernel.unprivileged_userns_clone=1",
        ));
    }
    if is(&facts.apparmor_restrict_userns, "1") {
        return Some((
            "AppArmor forbids them to programs without a profile \
             (kernel.apparmor_restrict_unprivileged_userns is 1)",
            "load an AppArmor profile for this program with the rule `userns,`; or \
             sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ));
    }
    None
}

/// The settings allow them, so that it is something around this process.
fn unknown_refusal(facts: &Facts) -> (&'static str, &'static str) {
    let filtered = facts.status("Seccomp").is_some_and(|mode| mode != "0");
    match filtered || facts.container().is_some() {
        true => (
            "a filter around this process forbids them, as a container's does",
            "start the container with --security-opt seccomp=unconfined and \
             --security-opt apparmor=unconfined, or run outside of it",
        ),
        false => (
            "the settings allow them, so a security module may forbid them",
            "look for a denial in the kernel's log (dmesg)",
        ),
    }
}

pub(super) fn landlock(facts: &Facts, ask: Option<&dyn Fn() -> Option<u32>>) -> Finding {
    let name = "landlock";
    let without = "the second wall around files is missing; namespaces still hold";
    let remedy = "use a kernel from 6.12 on that is started with `landlock` in lsm=";
    let Some(ask) = ask else {
        let modules = facts.security_modules.as_deref();
        return match modules.map(|modules| modules.split(',').any(|found| found == name)) {
            Some(true) => Finding::ok(name, "a second wall around files"),
            Some(false) => Finding::partial(name, without).remedy(remedy),
            None => Finding::partial(name, "unknown: /sys/kernel/security is not mounted"),
        };
    };
    match ask() {
        Some(abi) if abi >= SCOPED_LANDLOCK => {
            Finding::ok(name, format!("a second wall around files (version {abi})"))
        }
        Some(abi) => Finding::partial(name, old_landlock(abi)).remedy(remedy),
        None => Finding::partial(name, without).remedy(remedy),
    }
}

fn old_landlock(abi: u32) -> String {
    let gaps = match abi < GOOD_LANDLOCK {
        true => "the second wall around files has gaps, and ",
        false => "",
    };
    format!(
        "version {abi} is old: {gaps}commands can signal their supervisor, and so hinder its work"
    )
}

pub(super) fn seccomp(facts: &Facts) -> Finding {
    let name = "system call filter";
    let actions = facts.seccomp_actions.as_deref().unwrap_or_default();
    let has = |wanted: &str| actions.split_whitespace().any(|action| action == wanted);
    match has("errno") && has("kill_process") {
        true => Finding::ok(name, "dangerous system calls are refused inside"),
        false => Finding::no(name, "the local sandbox cannot filter system calls")
            .remedy("use a kernel from 4.14 on with CONFIG_SECCOMP_FILTER"),
    }
}

/// Security modules that matter beside the sandbox.
pub(super) fn modules(facts: &Facts) -> Option<Finding> {
    let apparmor = facts.apparmor.as_deref() == Some("Y");
    let yama = facts.yama.as_deref();
    let mut found = Vec::new();
    if apparmor {
        found.push("AppArmor is on".to_owned());
    }
    if let Some(scope) = yama {
        found.push(format!("Yama is on (ptrace_scope {scope})"));
    }
    (!found.is_empty()).then(|| Finding::ok("security modules", found.join(", ")))
}

#[cfg(target_os = "linux")]
pub(super) use of_linux::limits;

#[cfg(target_os = "linux")]
mod of_linux {
    use super::Finding;
    use crate::cgroup::{Explained, Holds, Limit};

    /// `tried` is what a group really kept, or why none could be made.
    pub(in super::super) fn limits(
        explained: &[Explained],
        tried: &Result<Holds, String>,
    ) -> Vec<Finding> {
        let mut findings: Vec<_> = explained
            .iter()
            .map(|explained| limit(explained, tried))
            .collect();
        findings.push(disk());
        findings
    }

    fn limit(explained: &Explained, tried: &Result<Holds, String>) -> Finding {
        let limit = explained.limit;
        let why = match (explained.version, tried) {
            (Some(version), Ok(holds)) if holds.has(limit) => {
                let meaning = kept(limit);
                return Finding::ok(name(limit), format!("{meaning} (cgroup version {version})"));
            }
            (Some(_), Ok(_)) => "the kernel has no such limit in its cgroups",
            (Some(_), Err(error)) => error,
            (None, _) => &explained.detail,
        };
        Finding {
            remedy: explained.remedy.clone(),
            ..not_kept(limit, why)
        }
    }

    fn name(limit: Limit) -> &'static str {
        match limit {
            Limit::Memory => "limit of memory",
            Limit::Processes => "limit of processes",
            Limit::Cpu => "limit of processor time",
        }
    }

    fn kept(limit: Limit) -> &'static str {
        match limit {
            Limit::Memory => "all processes of a sandbox together, without swap",
            Limit::Processes => "processes and threads of a sandbox together",
            Limit::Cpu => "all processes of a sandbox together",
        }
    }

    fn not_kept(limit: Limit, why: &str) -> Finding {
        match limit {
            Limit::Memory => Finding::partial(
                name(limit),
                format!("each process has a limit, all of them together have none: {why}"),
            ),
            Limit::Processes => Finding::partial(
                name(limit),
                format!("counted for each user and not for each sandbox: {why}"),
            ),
            Limit::Cpu => Finding::no(
                name(limit),
                format!("a sandbox may use every processor: {why}"),
            ),
        }
    }

    fn disk() -> Finding {
        Finding::partial(
            "limit of disk",
            "a workspace is watched and its run ended above the limit; nothing is reserved, so a \
             fast writer gets somewhat beyond it first",
        )
    }
}

#[cfg(test)]
mod tests;
