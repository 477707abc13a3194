//! Other machines.

use std::io;

use super::super::finding::State;
use super::*;

fn machine(set: impl FnOnce(&mut Facts)) -> Facts {
    let mut facts = Facts {
        has_user_namespaces: true,
        max_user_namespaces: Some("96365".to_owned()),
        seccomp_actions: Some("kill_process kill_thread trap errno user_notif".to_owned()),
        ..Facts::default()
    };
    set(&mut facts);
    facts
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn a_setting_that_forbids_user_namespaces_is_named_with_its_remedy() {
    type Set = fn(&mut Facts);
    let machines: [(Set, &str); 4] = [
        (|facts| facts.has_user_namespaces = false, "CONFIG_USER_NS"),
        (
            |facts| facts.max_user_namespaces = some("0"),
            "user.max_user_namespaces=",
        ),
        (
            |facts| facts.unprivileged_userns_clone = some("0"),
            "unprivileged_userns_clone=1",
        ),
        (
            |facts| facts.apparmor_restrict_userns = some("1"),
            "AppArmor profile",
        ),
    ];
    for (set, remedy) in machines {
        let found = user_namespaces(&machine(set), None);
        assert_eq!(found.state, State::No);
        assert!(found.remedy.as_ref().unwrap().contains(remedy), "{found:?}");
    }
}

#[test]
fn root_is_not_kept_from_what_only_others_are_kept_from() {
    let ubuntu = machine(|facts| {
        facts.is_root = true;
        facts.unprivileged_userns_clone = some("0");
        facts.apparmor_restrict_userns = some("1");
    });
    assert_eq!(user_namespaces(&ubuntu, None).state, State::Ok);
}

#[test]
fn what_was_tried_counts_more_than_settings() {
    let ubuntu = machine(|facts| facts.apparmor_restrict_userns = some("1"));
    let works = || Ok(());
    assert_eq!(user_namespaces(&ubuntu, Some(&works)).state, State::Ok);

    let fails = || Err(io::Error::from_raw_os_error(libc::EPERM));
    let found = user_namespaces(&ubuntu, Some(&fails));
    assert!(found.meaning.contains("os error 1"), "{found:?}");
    assert!(found.meaning.contains("AppArmor"), "{found:?}");

    let docker = machine(|facts| facts.status = some("Name:\tx\nSeccomp:\t2\n"));
    let found = user_namespaces(&docker, Some(&fails));
    assert!(found.remedy.unwrap().contains("seccomp=unconfined"));

    let odd = user_namespaces(&machine(|_| {}), Some(&fails));
    assert!(odd.remedy.unwrap().contains("dmesg"));
}

#[test]
fn landlock_is_judged_by_its_version() {
    let none = machine(|_| {});
    let state = |abi: Option<u32>| landlock(&none, Some(&move || abi)).state;
    assert_eq!(state(Some(7)), State::Ok);
    assert_eq!(state(Some(6)), State::Ok);
    assert_eq!(state(Some(5)), State::Partial);
    assert_eq!(state(Some(1)), State::Partial);
    let said = |abi| landlock(&none, Some(&move || Some(abi))).meaning;
    assert!(said(5).contains("signal their supervisor") && !said(5).contains("gaps"));
    assert!(said(1).contains("signal their supervisor") && said(1).contains("gaps"));
    assert_eq!(state(None), State::Partial);
    let listed = machine(|facts| facts.security_modules = some("capability,landlock,bpf"));
    assert_eq!(landlock(&listed, None).state, State::Ok);
    assert_eq!(landlock(&none, None).state, State::Partial);
}

#[test]
fn a_kernel_without_filters_is_said() {
    assert_eq!(seccomp(&machine(|_| {})).state, State::Ok);
    assert_eq!(
        seccomp(&machine(|facts| facts.seccomp_actions = None)).state,
        State::No
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_limit_is_kept_only_if_a_group_has_kept_it() {
    use crate::cgroup::{Explained, Holds, Limit};

    let explained = |limit, version, detail: &str| Explained {
        limit,
        version,
        detail: detail.to_owned(),
        remedy: version.is_none().then(|| "be root".to_owned()),
    };
    let explained = [
        explained(Limit::Memory, Some(2), "/sys/fs/cgroup/pullwright"),
        explained(Limit::Processes, Some(2), "/sys/fs/cgroup/pullwright"),
        explained(Limit::Cpu, None, "no cgroup hierarchy has `cpu`"),
    ];
    let holds = Holds {
        memory: true,
        ..Holds::default()
    };
    let found = limits(&explained, &Ok(holds));
    let states: Vec<_> = found.iter().map(|finding| finding.state).collect();
    let expected = [State::Ok, State::Partial, State::No, State::Partial];
    assert_eq!(states, expected);
    let found = limits(&explained, &Err("it is busy".to_owned()));
    assert!(found[0].meaning.contains("it is busy"), "{found:?}");
    assert_eq!(found[2].remedy.as_deref(), Some("be root"));
}
