//! What Linux tells of processes and threads: processor time, memory, switches, drops. Also where a thread may run.

use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use std::fs;
use std::io;
use std::time::{Duration, Instant};

/// Keeps the calling thread on one core, or leaves it free.
pub fn pin_this_thread(cpu: Option<usize>) {
    let Some(cpu) = cpu else { return };
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let wanted = cores.into_iter().find(|core| core.id == cpu);
    if !wanted.is_some_and(core_affinity::set_for_current) {
        eprintln!("cannot stay on core {cpu}");
    }
}

/// Lets the calling thread run before others, where that is permitted: what it sends late counts as the server's delay.
pub(super) fn run_before_others() {
    let _ = rustix::process::setpriority_process(None, -20);
}

/// The calling thread's processor time at a moment.
#[derive(Clone, Copy, Debug)]
pub struct ThreadTime {
    at: Instant,
    busy: Duration,
}

impl ThreadTime {
    pub fn read() -> io::Result<Self> {
        Ok(Self { at: Instant::now(), busy: run_time(&fs::read_to_string("/proc/thread-self/schedstat")?) })
    }

    /// What the thread itself used, exact to a tick of the scheduler.
    pub fn used_since(&self, before: &Self) -> Duration {
        self.busy.saturating_sub(before.busy)
    }

    /// Share of the time.
    pub(super) fn busy_since(&self, before: &Self) -> f64 {
        let wall = self.at.saturating_duration_since(before.at).as_secs_f64();
        if wall > 0.0 { self.used_since(before).as_secs_f64() / wall } else { 0.0 }
    }
}

/// First field: nanoseconds on a processor.
fn run_time(schedstat: &str) -> Duration {
    let ns = schedstat.split_whitespace().next().and_then(|field| field.parse().ok());
    Duration::from_nanos(ns.unwrap_or(0))
}

/// A process at a moment.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct ProcessTime {
    /// Of all its threads, those that ended too, in seconds.
    pub cpu_seconds: f64,
    pub switches_voluntary: u64,
    pub switches_involuntary: u64,
    pub resident_bytes: u64,
    pub threads: u64,
}

impl ProcessTime {
    pub fn read(pid: u32) -> io::Result<Self> {
        let mut time = Self { cpu_seconds: processor_seconds(pid)?, ..Self::default() };
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let task = task?.path();
            // A thread may end while we look.
            let Ok(status) = fs::read_to_string(task.join("status")) else { continue };
            time.threads += 1;
            time.switches_voluntary += field(&status, "voluntary_ctxt_switches:").unwrap_or(0);
            time.switches_involuntary += field(&status, "nonvoluntary_ctxt_switches:").unwrap_or(0);
        }
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        time.resident_bytes = field(&status, "VmRSS:").unwrap_or(0) * 1_024;
        Ok(time)
    }
}

/// By the process's own clock: a sum over its threads falls when one of them ends.
fn processor_seconds(pid: u32) -> io::Result<f64> {
    let pid = i32::try_from(pid).map_err(|_| io::Error::from(io::ErrorKind::NotFound))?;
    let clock = clock_getcpuclockid(Pid::from_raw(pid))?;
    Ok(Duration::from(clock_gettime(clock)?).as_secs_f64())
}

/// The first number of the line that begins with `name`.
fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Datagrams that the kernel dropped at sockets bound to these ports.
pub(super) fn udp_drops(ports: &[u16]) -> u64 {
    let ports: std::collections::HashSet<u16> = ports.iter().copied().collect();
    let tables = ["/proc/self/net/udp", "/proc/self/net/udp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    tables.iter().flat_map(|table| table.lines().skip(1)).filter_map(|line| drops_of(line, &ports)).sum()
}

fn drops_of(line: &str, ports: &std::collections::HashSet<u16>) -> Option<u64> {
    let mut fields = line.split_whitespace();
    let (_, port) = fields.nth(1)?.rsplit_once(':')?;
    ports.contains(&u16::from_str_radix(port, 16).ok()?).then_some(())?;
    fields.next_back()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_time_and_memory() {
        let work = || (0..20_000_000_u64).fold(0_u64, |sum, i| std::hint::black_box(sum.wrapping_add(i * i)));
        let thread_time = || ThreadTime::read().unwrap();
        let before = ProcessTime::read(std::process::id()).unwrap();
        // A thread that has ended counts as well.
        let thread = std::thread::spawn(move || {
            let start = thread_time();
            work();
            thread_time().used_since(&start)
        });
        let worked = thread.join().unwrap().as_secs_f64();
        let after = ProcessTime::read(std::process::id()).unwrap();
        assert!(worked > 0.0 && after.cpu_seconds - before.cpu_seconds >= worked, "{worked}");
        assert!(after.resident_bytes > 100_000 && after.threads >= 1);
        assert!(ProcessTime::read(u32::MAX).is_err());
    }

    #[test]
    fn drops_are_read_from_the_line_of_the_port() {
        let line = "  123: 0100007F:1ECA 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4567 2 00000000 42";
        assert_eq!(drops_of(line, &[0x1eca].into()), Some(42));
        assert_eq!(drops_of(line, &[80].into()), None);
        assert_eq!(drops_of("", &[80].into()), None);
    }
}
