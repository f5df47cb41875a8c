//! What the system says of this process, from `/proc/self`.

use std::fs;

/// How much of the machine this process takes.
#[derive(Debug, PartialEq)]
pub(super) struct Process {
    /// When it started, in seconds since 1970.
    pub start_seconds: f64,
    /// Processor time it has had, its own and the kernel's for it.
    pub cpu_seconds: f64,
    /// Memory it has in RAM.
    pub resident_bytes: u64,
    /// Memory it has addresses for.
    pub virtual_bytes: u64,
    /// Its threads.
    pub threads: u64,
    /// Its open files and sockets.
    pub open_fds: u64,
    /// How many it may open, where there is a limit.
    pub max_fds: Option<u64>,
}

impl Process {
    /// Reads everything; nothing where there is no `/proc`.
    pub fn read() -> Option<Process> {
        let read = |path: &str| fs::read_to_string(path).ok();
        let mut process = Process::parse(
            &read("/proc/self/stat")?,
            &read("/proc/self/status")?,
            &read("/proc/self/limits")?,
            &read("/proc/stat")?,
        )?;
        // One of them is the folder that is being read.
        process.open_fds = (fs::read_dir("/proc/self/fd").ok()?.count() as u64).saturating_sub(1);
        Some(process)
    }

    /// What stands in the files (proc(5)), but for the descriptors that are open.
    fn parse(stat: &str, status: &str, limits: &str, system: &str) -> Option<Process> {
        // User space is told of 100 ticks a second, whatever the kernel counts in (USER_HZ).
        let seconds = |ticks: u64| ticks as f64 / 100.0;
        // The name of the program stands in parentheses and may hold anything, parentheses and blanks too.
        let (_, fields) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        // The first field behind the name is the third.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let line = |file: &str, start: &str| -> Option<u64> {
            let rest = file.lines().find_map(|line| line.strip_prefix(start))?;
            rest.split_whitespace().next()?.parse().ok()
        };
        Some(Process {
            start_seconds: line(system, "btime ")? as f64 + seconds(field(22)?),
            cpu_seconds: seconds(field(14)? + field(15)?),
            resident_bytes: line(status, "VmRSS:")? * 1024,
            virtual_bytes: line(status, "VmSize:")? * 1024,
            threads: line(status, "Threads:")?,
            open_fds: 0,
            // Not a number where there is no limit.
            max_fds: line(limits, "Max open files"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str =
        "7 (a (b) c d) S 1 7 7 0 -1 4194560 900 0 3 0 250 50 0 0 20 0 5 0 1234 99 9 18446744073709551615";
    const STATUS: &str = "Name:\ta\nVmSize:\t  2048 kB\nVmRSS:\t   512 kB\nThreads:\t5\n";
    const SYSTEM: &str = "cpu 1 2 3\nbtime 1000000000\n";

    #[test]
    fn files_of_proc() {
        let check = |limits: &str, max_fds| {
            let expected = Process {
                start_seconds: 1_000_000_012.34,
                cpu_seconds: 3.0,
                resident_bytes: 512 << 10,
                virtual_bytes: 2048 << 10,
                threads: 5,
                open_fds: 0,
                max_fds,
            };
            assert_eq!(Process::parse(STAT, STATUS, limits, SYSTEM), Some(expected));
        };
        check("Limit  Soft  Hard\nMax open files            1024    4096    files\n", Some(1024));
        check("Max open files            unlimited    unlimited    files\n", None);
        assert_eq!(Process::parse("", STATUS, "", SYSTEM), None);
    }

    #[test]
    fn this_process() {
        let process = Process::read().unwrap();
        assert!(process.open_fds >= 3 && process.threads >= 1 && process.resident_bytes > 1 << 20);
        let age = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64() - process.start_seconds;
        assert!((-2.0..86_400.0).contains(&age), "{age}");
    }
}
