//! What a process inside sees, and what it does not.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;

use pullwright_core::sandbox::ProcessExit;
use pullwright_sandbox::local::ReadOnly;

use super::bench::{Bench, command, exists_inside, finish, make_executable, run};
use crate::support::in_time;

#[tokio::test]
async fn it_is_an_ordinary_user_without_rights() {
    let bench = Bench::new();
    let sandbox = bench.open().await;
    let script = "id; hostname; echo ~; \
                  sed -n 's/^\\(Cap[A-Za-z]*\\):[[:space:]]*/\\1 /p' /proc/self/status; \
                  sed 's/  */ /g' /proc/self/uid_map | cut -d ' ' -f 2,4";
    let ran = run(&sandbox, script).await;
    let lines: Vec<_> = ran.stdout.lines().collect();
    assert!(
        lines[0].starts_with("uid=1000(pullwright) gid=1000(pullwright)"),
        "{ran:?}"
    );
    assert_eq!(lines[1..3], ["box", "/home/pullwright"]);
    for set in &lines[3..8] {
        assert!(set.ends_with(" 0000000000000000"), "{ran:?}");
    }
    assert_eq!(lines[8], "1000 1");
}

#[tokio::test]
async fn the_environment_is_what_was_given() {
    let bench = Bench::new();
    let sandbox = bench.open().await;
    let ran = finish(sandbox.spawn(command(&["env"])).await.unwrap()).await;
    let names: BTreeSet<_> = ran
        .stdout
        .lines()
        .filter_map(|line| line.split('=').next())
        .collect();
    assert_eq!(names, BTreeSet::from(["HOME", "PATH"]));
}

#[tokio::test]
async fn our_own_processes_show_nothing() {
    let bench = Bench::new();
    let sandbox = bench.open().await;
    for process in ["1", "$PPID"] {
        let script = format!(
            "for file in environ maps mem auxv exe cwd root fd/0 ns/mnt stack syscall; do \
             cat /proc/{process}/$file && echo OPEN; done 2>/dev/null; \
             readlink /proc/{process}/exe /proc/{process}/cwd; \
             tr '\\0' ' ' < /proc/{process}/cmdline"
        );
        let ran = run(&sandbox, &script).await;
        assert_eq!(ran.stdout, "pullwright sandbox-launcher ", "{process}");
    }
    let ran = run(&sandbox, "kill -9 1; kill -9 $PPID; echo alive").await;
    assert_eq!(ran.stdout, "alive\n");
    assert_eq!(run(&sandbox, "echo still").await.stdout, "still\n");
}

#[tokio::test]
async fn the_host_is_invisible() {
    let bench = Bench::new();
    let secret = bench.folder.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    symlink(&secret, bench.plan.workspace.join("link")).unwrap();
    let sandbox = bench.open().await;
    let host = std::process::id();
    let hidden = [
        "/root",
        "/etc/shadow",
        "/etc/ssh",
        "/etc/machine-id",
        "/sys",
        "/var/lib",
        "/opt",
        "/boot",
        "/mnt",
        "/dev/kmsg",
        "/dev/mem",
        "/workspace/link",
        "/workspace/../secret",
    ];
    for path in hidden
        .iter()
        .map(Path::new)
        .chain([&*secret, bench.folder.path()])
    {
        let ran = run(&sandbox, &exists_inside(path)).await;
        assert_eq!(ran.stdout, "", "{}", path.display());
    }
    let seen = run(&sandbox, "ls -d /proc/[0-9]* | wc -l").await.stdout;
    assert!(
        seen.trim().parse::<u32>().unwrap() < 10,
        "{seen}, host process {host}"
    );
    assert_eq!(
        run(&sandbox, "cat /proc/keys /proc/kmsg /proc/kallsyms")
            .await
            .stdout,
        ""
    );
}

#[tokio::test]
async fn the_rest_of_the_system_cannot_be_changed() {
    let bench = Bench::new();
    let sandbox = bench.open().await;
    let paths = [
        "/x",
        "/usr/x",
        "/bin/x",
        "/etc/x",
        "/etc/passwd",
        "/dev/x",
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/hostname",
        "/proc/sys/vm/drop_caches",
        "/proc/sysrq-trigger",
        "/home/x",
        "/usr/bin/env",
    ];
    for path in paths {
        let ran = run(&sandbox, &format!("echo x >> {path}")).await;
        assert_ne!(ran.exit, ProcessExit::Code(0), "{path}");
    }
    let limit = run(&sandbox, "cat /proc/sys/user/max_user_namespaces").await;
    assert_eq!(limit.stdout, "0\n");
    let ran = run(
        &sandbox,
        "mount -o remount,rw /usr || mount -t tmpfs x /usr || unshare -Ur true",
    );
    assert_ne!(ran.await.exit, ProcessExit::Code(0));
}

#[tokio::test]
async fn the_workspace_is_the_hosts_folder() {
    let bench = Bench::new();
    fs::write(bench.plan.workspace.join("file"), "content\n").unwrap();
    let sandbox = bench.open().await;
    let script = "pwd; cat file; echo more > new; mkdir sub; mv new sub/moved; ln sub/moved hard; \
                  echo a > ~/a; echo b > /tmp/b; echo c > /dev/shm/c; echo d > /run/d; \
                  echo e > /var/tmp/e; stat -c %U . ~";
    let ran = run(&sandbox, script).await;
    let expected = "/workspace\ncontent\npullwright\npullwright\n";
    assert_eq!((&*ran.stdout, &*ran.stderr), (expected, ""));
    let made = bench.plan.workspace.join("sub/moved");
    assert_eq!(fs::read_to_string(&made).unwrap(), "more\n");
    let user = bench
        .plan
        .user
        .unwrap_or_else(|| rustix::process::geteuid().as_raw());
    assert_eq!(made.metadata().unwrap().uid(), user);
    assert_eq!(
        fs::read_to_string(bench.plan.home.join("a")).unwrap(),
        "a\n"
    );
    // Files in memory live as long as the sandbox.
    assert_eq!(run(&sandbox, "cat /tmp/b").await.stdout, "b\n");
    sandbox.close().await.unwrap();
    let again = bench.open().await;
    assert_eq!(
        run(&again, "cat file; ls /tmp /dev/shm /run")
            .await
            .stdout
            .lines()
            .next(),
        Some("content")
    );
    assert_eq!(
        run(&again, "ls -A /tmp /run | grep -v :")
            .await
            .stdout
            .trim(),
        ""
    );
}

#[tokio::test]
async fn toolchains_are_bound_where_they_are_wanted() {
    let mut bench = Bench::new();
    let tools = bench.folder.path().join("tools");
    fs::create_dir_all(tools.join("inner")).unwrap();
    make_executable(&tools.join("tool"), "#!/bin/sh\necho tool\n");
    fs::write(tools.join("inner/file"), "hidden by another").unwrap();
    let single = bench.folder.path().join("single");
    fs::write(&single, "single").unwrap();
    let wanted = [
        (&*single, "/opt/tools/inner/file"),
        (&*tools, "/opt/tools"),
        (&*single, "/home/somebody/.config/single"),
        // Is there already.
        (Path::new("/usr/bin/env"), "/usr/bin/env"),
        (Path::new("/bin/sh"), "/bin/sh"),
    ];
    bench.plan.read_only = wanted
        .map(|(source, target)| ReadOnly {
            source: source.into(),
            target: target.into(),
        })
        .into();
    let sandbox = bench.open().await;
    let script = "/opt/tools/tool; cat /opt/tools/inner/file /home/somebody/.config/single; \
                  echo x >> /opt/tools/tool || echo x > /opt/x || rm /opt/tools/tool || echo kept";
    let ran = run(&sandbox, script).await;
    assert_eq!(ran.stdout, "tool\nsinglesinglekept\n", "{}", ran.stderr);
    assert_eq!(
        run(&sandbox, "grep -c ' /usr/bin/' /proc/self/mountinfo")
            .await
            .stdout,
        "0\n"
    );
}

#[tokio::test]
async fn a_linked_workspace_is_refused() {
    let mut bench = Bench::new();
    let link = bench.folder.path().join("linked");
    symlink("/etc", &link).unwrap();
    bench.plan.workspace = link;
    let refused = in_time(bench.launcher.open(&bench.plan)).await;
    let error = refused.err().unwrap().to_string();
    assert!(error.contains("linked as a folder: ENOTDIR"), "{error}");
}

#[tokio::test]
async fn the_network_is_its_own_loopback() {
    let mut bench = Bench::new();
    bench.plan.proxy_port = Some(3128);
    let outside = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = outside.local_addr().unwrap().port();
    let sandbox = bench.open().await;
    let script = format!(
        "tail -n +3 /proc/net/dev | cut -d : -f 1; cat /proc/net/route | wc -l; \
         (exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null || echo refused"
    );
    let ran = finish(
        sandbox
            .spawn(command(&["bash", "-c", &script]))
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(ran.stdout, "    lo\n1\nrefused\n", "{}", ran.stderr);

    let listener = sandbox.proxy_listener().unwrap();
    assert!(sandbox.proxy_listener().is_none());
    let host = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        stream.write_all(format!("got {line}").as_bytes()).unwrap();
    });
    let script = "exec 3<>/dev/tcp/127.0.0.1/3128; echo hello >&3; head -n 1 <&3";
    let ran = finish(
        sandbox
            .spawn(command(&["bash", "-c", script]))
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(ran.stdout, "got hello\n", "{}", ran.stderr);
    host.join().unwrap();
}
