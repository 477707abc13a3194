#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::allow_attributes)]
use pullwright_sandbox::local::*;
use tokio::io::AsyncReadExt;
use std::time::Instant;
fn main() -> std::process::ExitCode {
    if std::env::args().nth(1).as_deref() == Some(LAUNCHER_ARGUMENT) { return launcher_main(); }
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(run())
}
fn plan(dir: &std::path::Path) -> Plan {
    let root = rustix::process::geteuid().is_root();
    let w = dir.join("w"); let h = dir.join("h");
    for d in [&w, &h] { std::fs::create_dir_all(d).unwrap(); if root { std::os::unix::fs::chown(d, Some(400000), Some(400000)).unwrap(); } }
    Plan { workspace: w, home: h, read_only: vec![], user: root.then_some(400000), cgroup_procs: vec![],
      limits: Limits { tmp_bytes: 512<<20, shm_bytes: 64<<20, processes: 1000, open_files: 8192, file_bytes: 4<<30, memory_bytes: None },
      hostname: "box".into(), proxy_port: Some(3128) }
}
fn cmd(argv: &[String]) -> InnerCommand {
    InnerCommand { argv: argv.to_vec(), env: [("PATH","/usr/local/bin:/usr/bin:/bin"),("HOME",HOME),("LANG","C.UTF-8")].map(|(a,b)|(a.to_owned(),b.to_owned())).into(), cwd: WORKSPACE.into() }
}
async fn one(l: &LocalInit, argv: &[String]) -> (String, String, i32) {
    let p = match l.spawn(cmd(argv)).await { Ok(p) => p, Err(e) => return (String::new(), format!("{e}\n"), -1) };
    let pullwright_core::sandbox::SandboxProcess { stdin, mut stdout, mut stderr, exit, kill } = p;
    drop(stdin);
    let (mut o, mut e) = (vec![], vec![]);
    let _ = tokio::join!(stdout.read_to_end(&mut o), stderr.read_to_end(&mut e));
    let x = exit.await.unwrap(); drop(kill);
    (String::from_utf8_lossy(&o).into(), String::from_utf8_lossy(&e).into(), x.shell_code())
}
async fn run() -> std::process::ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let dir = std::env::temp_dir().join(format!("try-{}", std::process::id()));
    let plan = plan(&dir);
    let exe = std::env::current_exe().unwrap();
    if args[0] == "bench" {
        let n: usize = args[1].parse().unwrap();
        let mut t = vec![]; let mut f = vec![]; let mut s = vec![]; let mut c = vec![];
        let tr = ["true".to_owned()];
        for _ in 0..n {
            let a = Instant::now();
            let l = LocalInit::start(&exe, &plan).await.unwrap();
            t.push(a.elapsed()); 
            one(&l, &tr).await; f.push(a.elapsed());
            for _ in 0..5 { let b = Instant::now(); one(&l, &tr).await; s.push(b.elapsed()); }
            let b = Instant::now(); l.close().await.unwrap(); c.push(b.elapsed());
        }
        let mut d = vec![];
        for _ in 0..n*5 { let b = Instant::now(); tokio::process::Command::new("true").stdout(std::process::Stdio::piped()).output().await.unwrap(); d.push(b.elapsed()); }
        for (n, v) in [("start", &mut t), ("first process", &mut f), ("spawn true", &mut s), ("close", &mut c), ("outside true", &mut d)] { v.sort(); println!("{n}: p50 {:?} p95 {:?} min {:?}", v[v.len()/2], v[v.len()*95/100], v[0]); }
        let _ = std::fs::remove_dir_all(&dir);
        return 0.into();
    }
    if args[0] == "many" {
        let n: usize = args[1].parse().unwrap();
        let mut all = vec![];
        let a = Instant::now();
        for _ in 0..n { all.push(LocalInit::start(&exe, &plan).await.unwrap()); }
        println!("{n} in {:?}", a.elapsed());
        let mut ps = vec![];
        for l in &all { ps.push(l.spawn(cmd(&["cat".to_owned()])).await.unwrap()); }
        let out = std::process::Command::new("sh").arg("-c").arg(format!("for p in $(pgrep -f '^pullwright sandbox-launcher'); do cat /proc/$p/smaps_rollup; done | awk '/^Pss:|Private_Dirty|Shared_Dirty|^Rss|Private_Clean/ {{a[$1]+=$2}} END {{for (k in a) print k, a[k]/{n}, \"KiB each\"}}'")).output().unwrap();
        println!("{}", String::from_utf8_lossy(&out.stdout));
        let a = Instant::now();
        for l in &all { l.close().await.unwrap(); }
        println!("closed in {:?}", a.elapsed());
        return 0.into();
    }
    let l = match LocalInit::start(&exe, &plan).await { Ok(l) => l, Err(e) => { println!("{e}"); return 1.into() } };
    let (o, e, c) = one(&l, &args).await;
    print!("{o}{e}"); println!("-> {c}");
    l.close().await.unwrap();
    let _ = std::fs::remove_dir_all(&dir);
    0.into()
}
