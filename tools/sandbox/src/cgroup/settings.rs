//! The files by which a group is limited, and those by which it tells what happened.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use super::mounts::Version;
use super::{CgroupLimits, Limit};

/// The length of the slice of time in which processor time is counted, as is the kernel's default.
const CPU_PERIOD_US: u64 = 100_000;

/// The kernel refuses less.
const MIN_CPU_QUOTA_US: u64 = 1_000;

/// A file to write.
struct Setting {
    file: &'static str,
    value: String,
    /// Kernels without it keep the limit all the same.
    optional: bool,
}

/// Whether a group in `folder` can keep `limit`.
pub(super) fn keeps(version: Version, folder: &Path, limit: Limit) -> bool {
    let file = match (version, limit) {
        (_, Limit::Processes) => "pids.max",
        (Version::V2, Limit::Memory) => "memory.max",
        (Version::V2, Limit::Cpu) => "cpu.max",
        (Version::V1, Limit::Memory) => "memory.limit_in_bytes",
        (Version::V1, Limit::Cpu) => "cpu.cfs_quota_us",
    };
    folder.join(file).exists()
}

/// Limits the group in `folder`.
pub(super) fn apply(
    version: Version,
    folder: &Path,
    limit: Limit,
    limits: &CgroupLimits,
) -> io::Result<()> {
    for setting in settings(version, limit, limits) {
        match write(&folder.join(setting.file), &setting.value) {
            Err(error) if setting.optional && error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let what = format!("`{}` into {}: {error}", setting.value, setting.file);
                return Err(io::Error::new(error.kind(), what));
            }
            Ok(()) => {}
        }
    }
    Ok(())
}

fn settings(version: Version, limit: Limit, limits: &CgroupLimits) -> Vec<Setting> {
    let needed = |file, value: u64| Setting {
        file,
        value: value.to_string(),
        optional: false,
    };
    let optional = |file, value: u64| Setting {
        optional: true,
        ..needed(file, value)
    };
    match (limit, version) {
        (Limit::Memory, Version::V2) => limits.memory_bytes.map_or_else(Vec::new, |bytes| {
            vec![needed("memory.max", bytes), optional("memory.swap.max", 0)]
        }),
        (Limit::Memory, Version::V1) => limits.memory_bytes.map_or_else(Vec::new, |bytes| {
            vec![
                needed("memory.limit_in_bytes", bytes),
                // Memory and swap together; it cannot be less than memory alone.
                optional("memory.memsw.limit_in_bytes", bytes),
                optional("memory.swappiness", 0),
            ]
        }),
        (Limit::Processes, _) => limits
            .processes
            .map_or_else(Vec::new, |count| vec![needed("pids.max", count)]),
        (Limit::Cpu, version) => limits
            .cpus
            .map_or_else(Vec::new, |cpus| cpu(version, quota_us(cpus))),
    }
}

fn cpu(version: Version, quota: u64) -> Vec<Setting> {
    let setting = |file, value: String| Setting {
        file,
        value,
        optional: false,
    };
    match version {
        Version::V2 => vec![setting("cpu.max", format!("{quota} {CPU_PERIOD_US}"))],
        Version::V1 => vec![
            setting("cpu.cfs_period_us", CPU_PERIOD_US.to_string()),
            setting("cpu.cfs_quota_us", quota.to_string()),
        ],
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "the cast saturates, and no machine has a number of processors that is not exact"
)]
fn quota_us(cpus: f64) -> u64 {
    ((cpus * CPU_PERIOD_US as f64) as u64).max(MIN_CPU_QUOTA_US)
}

/// The most memory a group had at one time.
pub(super) fn memory_peak(version: Version, folder: &Path) -> Option<u64> {
    let file = match version {
        Version::V1 => "memory.max_usage_in_bytes",
        Version::V2 => "memory.peak",
    };
    fs::read_to_string(folder.join(file))
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// How many processes were killed because there was no memory left.
pub(super) fn oom_kills(version: Version, folder: &Path) -> Option<u64> {
    let file = match version {
        Version::V1 => "memory.oom_control",
        Version::V2 => "memory.events",
    };
    counter(&folder.join(file), "oom_kill")
}

/// How often a process could not be started because there were too many.
pub(super) fn refused_forks(folder: &Path) -> Option<u64> {
    counter(&folder.join("pids.events"), "max")
}

fn counter(file: &Path, name: &str) -> Option<u64> {
    parse_counter(&fs::read_to_string(file).ok()?, name)
}

fn parse_counter(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    let (_, value) = lines.find(|(found, _)| *found == name)?;
    value.trim().parse().ok()
}

/// One write call, since each is a command; never creates the file.
pub(super) fn write(file: &Path, value: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).open(file)?;
    file.write_all(value.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: CgroupLimits = CgroupLimits {
        memory_bytes: Some(4096),
        processes: Some(9),
        cpus: Some(1.5),
    };

    fn written(version: Version, limits: &CgroupLimits) -> Vec<String> {
        let all = Limit::ALL.into_iter();
        let all = all.flat_map(|limit| settings(version, limit, limits));
        all.map(|setting| format!("{}={}", setting.file, setting.value))
            .collect()
    }

    #[test]
    fn each_version_is_told_in_its_own_words() {
        assert_eq!(
            written(Version::V2, &LIMITS),
            [
                "memory.max=4096",
                "memory.swap.max=0",
                "pids.max=9",
                "cpu.max=150000 100000"
            ]
        );
        assert_eq!(
            written(Version::V1, &LIMITS),
            [
                "memory.limit_in_bytes=4096",
                "memory.memsw.limit_in_bytes=4096",
                "memory.swappiness=0",
                "pids.max=9",
                "cpu.cfs_period_us=100000",
                "cpu.cfs_quota_us=150000"
            ]
        );
        assert!(written(Version::V2, &CgroupLimits::default()).is_empty());
    }

    #[test]
    fn odd_shares_of_a_processor_are_ones_the_kernel_takes() {
        for (cpus, quota) in [
            (0.0, 1_000),
            (-3.0, 1_000),
            (f64::NAN, 1_000),
            (0.25, 25_000),
        ] {
            assert_eq!(quota_us(cpus), quota, "{cpus}");
        }
    }

    #[test]
    fn counters_are_found_by_their_whole_name() {
        let text = "oom 3\noom_kill_disable 0\noom_kill 2\noom_group_kill 1\n";
        assert_eq!(parse_counter(text, "oom_kill"), Some(2));
        assert_eq!(parse_counter(text, "max"), None);
    }
}
