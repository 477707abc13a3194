//! The groups of other machines, laid out in a folder.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::TempDir;

use super::*;

/// The server's own process on these machines.
const PID: u32 = 4242;

struct Machine {
    folder: TempDir,
    mountinfo: String,
    own: String,
}

impl Machine {
    fn new(mountinfo: &str, own: &str) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            mountinfo: mountinfo.to_owned(),
            own: own.to_owned(),
        }
    }

    /// The root of a version 2 hierarchy: it has no type.
    fn root(self, path: &str, controllers: &str) -> Self {
        self.group(path, controllers, "")
            .without(path, "cgroup.type")
    }

    fn group(self, path: &str, controllers: &str, procs: &str) -> Self {
        let folder = self.folder.path().join(path);
        fs::create_dir_all(&folder).unwrap();
        let files = [
            ("cgroup.controllers", controllers),
            ("cgroup.procs", procs),
            ("cgroup.subtree_control", ""),
            ("cgroup.type", "domain\n"),
        ];
        for (file, text) in files {
            fs::write(folder.join(file), text).unwrap();
        }
        self
    }

    fn without(self, path: &str, file: &str) -> Self {
        fs::remove_file(self.folder.path().join(path).join(file)).unwrap();
        self
    }

    /// Another user's group. Root may write everything, so files are missing instead.
    fn foreign(self, path: &str) -> Self {
        let folder = self.folder.path().join(path);
        fs::remove_file(folder.join("cgroup.subtree_control")).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
        self
    }

    fn find(&self) -> Found {
        find(&View {
            root: self.folder.path().to_owned(),
            mountinfo: self.mountinfo.clone(),
            own: self.own.clone(),
            pid: PID,
        })
    }

    /// The place of a limit, written as `v2 sys/fs/cgroup`, or why there is none.
    fn place(&self, limit: Limit) -> String {
        let found = self.find();
        let root = format!("{}/", self.folder.path().display());
        let holds = found
            .places
            .iter()
            .find(|place| place.limits.contains(&limit));
        match holds {
            Some(place) => {
                let leave = if place.leave { ", by leaving it" } else { "" };
                let parent = place.parent.display().to_string();
                format!("{:?} {}{leave}", place.version, parent.replace(&root, ""))
            }
            None => found.explain(limit).detail.replace(&root, ""),
        }
    }
}

const UNIFIED: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n";
const ALL: &str = "cpuset cpu io memory hugetlb pids rdma misc\n";

#[test]
fn version_2_for_root_is_divided_at_its_root() {
    let machine = Machine::new(UNIFIED, "0::/system.slice/pullwright.service\n")
        .root("sys/fs/cgroup", ALL)
        .group("sys/fs/cgroup/system.slice", ALL, "")
        .group(
            "sys/fs/cgroup/system.slice/pullwright.service",
            ALL,
            "4242\n",
        );
    for limit in Limit::ALL {
        assert_eq!(machine.place(limit), "V2 sys/fs/cgroup");
    }
    assert_eq!(machine.find().places.len(), 1);
    assert_eq!(machine.find().explain(Limit::Cpu).version, Some(2));
}

/// A user's service manager is handed its part of the tree, and a service in it a part of that.
fn user_service(procs: &str) -> Machine {
    let own = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/pw.service\n";
    let few = "memory pids\n";
    let slice = "sys/fs/cgroup/user.slice/user-1000.slice";
    Machine::new(UNIFIED, own)
        .root("sys/fs/cgroup", ALL)
        .group("sys/fs/cgroup/user.slice", ALL, "")
        .group(slice, ALL, "")
        .group(&format!("{slice}/user@1000.service"), few, "")
        .group(&format!("{slice}/user@1000.service/app.slice"), few, "")
        .group(
            &format!("{slice}/user@1000.service/app.slice/pw.service"),
            few,
            procs,
        )
        .foreign(slice)
}

#[test]
fn version_2_for_a_user_is_divided_where_it_was_handed_over() {
    let service = "V2 sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice";
    let alone = user_service("4242\n");
    let own = format!("{service}/pw.service, by leaving it");
    assert_eq!(alone.place(Limit::Memory), own);
    assert_eq!(alone.place(Limit::Processes), own);
    assert_eq!(
        alone.place(Limit::Cpu),
        "`cpu` is not handed on to sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/pw.service"
    );
    assert_eq!(user_service("4000\n4242\n").place(Limit::Memory), service);
}

#[test]
fn a_server_that_has_left_its_group_finds_it_again() {
    let service = "sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/pw.service";
    let mut machine = user_service("").group(
        &format!("{service}/pullwright-server"),
        "memory pids\n",
        "4242\n",
    );
    machine.own = machine
        .own
        .replace("pw.service", "pw.service/pullwright-server");
    assert_eq!(machine.place(Limit::Memory), format!("V2 {service}"));
}

#[test]
fn a_login_shell_is_handed_nothing() {
    let session = "sys/fs/cgroup/user.slice/user-1000.slice/session-3.scope";
    let machine = Machine::new(UNIFIED, "0::/user.slice/user-1000.slice/session-3.scope\n")
        .root("sys/fs/cgroup", ALL)
        .group(session, ALL, "4000\n4242\n")
        .foreign(session);
    assert_eq!(
        machine.place(Limit::Memory),
        format!("the cgroup {session} is not handed over to this user")
    );
    assert!(machine.find().places.is_empty());
}

#[test]
fn a_container_of_version_2_is_read_only() {
    let mountinfo = "640 630 0:26 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate\n";
    let machine = Machine::new(mountinfo, "0::/\n").group("sys/fs/cgroup", ALL, "4242\n");
    assert_eq!(
        machine.place(Limit::Memory),
        "sys/fs/cgroup is mounted read-only, as in a container"
    );
}

#[test]
fn a_container_that_may_write_is_divided_if_the_server_is_alone() {
    let alone = Machine::new(UNIFIED, "0::/\n").group("sys/fs/cgroup", ALL, "4242\n");
    assert_eq!(
        alone.place(Limit::Memory),
        "V2 sys/fs/cgroup, by leaving it"
    );
    let others = Machine::new(UNIFIED, "0::/\n").group("sys/fs/cgroup", ALL, "1\n4242\n");
    assert_eq!(
        others.place(Limit::Memory),
        "the cgroup sys/fs/cgroup has other processes than the server"
    );
}

#[test]
fn a_container_of_version_1_is_read_only() {
    let mountinfo = "\
        1 0 0:30 /docker/4e2 /sys/fs/cgroup/memory ro,nosuid - cgroup cgroup rw,memory\n\
        2 0 0:31 /docker/4e2 /sys/fs/cgroup/cpu,cpuacct ro,nosuid - cgroup cgroup rw,cpu,cpuacct\n";
    let own = "4:memory:/docker/4e2\n3:cpu,cpuacct:/docker/4e2\n";
    let machine = Machine::new(mountinfo, own).group("sys/fs/cgroup/memory", "", "1\n");
    assert_eq!(
        machine.place(Limit::Memory),
        "sys/fs/cgroup/memory is mounted read-only, as in a container"
    );
    assert_eq!(
        machine.place(Limit::Processes),
        "no cgroup hierarchy has `pids`"
    );
}

/// Version 2 is there for some controllers, version 1 for the others.
const HYBRID: &str = "\
    32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
    35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
    39 31 0:36 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
    40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
    41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

#[test]
fn a_hybrid_machine_keeps_each_limit_where_its_controller_is() {
    let own = "9:name=systemd:/x\n8:pids:/\n4:memory:/jobs/a6\n1:cpu,cpuacct:/gone\n0::/\n";
    let machine = Machine::new(HYBRID, own)
        .root("sys/fs/cgroup/unified", "hugetlb\n")
        .group("sys/fs/cgroup/memory", "", "")
        .group("sys/fs/cgroup/memory/jobs/a6", "", "4242\n")
        .group("sys/fs/cgroup/pids", "", "4242\n")
        .group("sys/fs/cgroup/cpu,cpuacct", "", "4242\n");
    assert_eq!(
        machine.place(Limit::Memory),
        "V1 sys/fs/cgroup/memory/jobs/a6"
    );
    assert_eq!(machine.place(Limit::Processes), "V1 sys/fs/cgroup/pids");
    assert_eq!(machine.place(Limit::Cpu), "V1 sys/fs/cgroup/cpu,cpuacct");
}

#[test]
fn a_hybrid_machine_may_have_a_controller_in_version_2() {
    let machine = Machine::new(HYBRID, "4:memory:/\n0::/\n")
        .root("sys/fs/cgroup/unified", "pids\n")
        .group("sys/fs/cgroup/memory", "", "4242\n");
    assert_eq!(machine.place(Limit::Memory), "V1 sys/fs/cgroup/memory");
    assert_eq!(machine.place(Limit::Processes), "V2 sys/fs/cgroup/unified");
}

#[test]
fn a_machine_without_groups_says_so() {
    let machine = Machine::new("22 27 0:21 / /proc rw - proc proc rw\n", "");
    for limit in Limit::ALL {
        let why = format!("no cgroup hierarchy has `{}`", limit.controller());
        assert_eq!(machine.place(limit), why);
    }
}

#[test]
fn hierarchies_that_share_a_mount_share_a_group() {
    let mountinfo = "1 0 0:30 / /sys/fs/cgroup/all rw - cgroup cgroup rw,memory,pids\n";
    let machine = Machine::new(mountinfo, "1:memory,pids:/\n").group("sys/fs/cgroup/all", "", "");
    assert_eq!(
        machine.find().places,
        [Place {
            version: Version::V1,
            parent: machine.folder.path().join(Path::new("sys/fs/cgroup/all")),
            limits: vec![Limit::Memory, Limit::Processes],
            leave: false,
        }]
    );
}
