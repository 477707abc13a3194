//! How much processor time was used.

/// What the kernel counts in: 100 a second on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// The processor time of this process and of all children it has waited for, in seconds. Nothing
/// where there is no /proc.
pub(crate) fn seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    // Own and children's, in user and in kernel mode.
    let times = after_name.split_ascii_whitespace().skip(11).take(4);
    let ticks: f64 = times.filter_map(|time| time.parse::<f64>().ok()).sum();
    Some(ticks / TICKS_PER_SECOND)
}
