//! The header of a report: `Process:         NAME [PID]` and the lines after it.

use std::time::{Duration, SystemTime};

use super::row::hexadecimal;
use crate::model::{PageSize, Parent, ProcessInfo, parse_size};

/// The labels in reports. Other lines with a colon before the listing are not from vmmap.
const LABELS: &[&str] = &[
    "Process",
    "Path",
    "Load Address",
    "Identifier",
    "Version",
    "Build Info",
    "Code Type",
    "Platform",
    "Parent Process",
    "Responsible",
    "Target Type",
    "Date/Time",
    "Launch Time",
    "OS Version",
    "Report Version",
    "Analysis Tool",
    "Analysis Tool Version",
    "Physical footprint",
    "Physical footprint (peak)",
    "Idle exit",
    "Virtual Memory Map of process",
    "Output report format",
    "VM page size",
];

/// The contents of the lines before the listing.
#[derive(Debug, Default)]
pub(super) struct Header {
    pub(super) process: ProcessInfo,
    pub(super) page_size: Option<PageSize>,
}

impl Header {
    /// Adds a line. Returns `false` if it does not belong to the header.
    pub(super) fn read_line(&mut self, line: &[u8]) -> bool {
        let text = String::from_utf8_lossy(line);
        let text = text.trim();
        if let Some(of) = text.strip_prefix("Virtual Memory Map of process ") {
            self.map_of(of);
            return true;
        }
        if text.starts_with("Collected with ") {
            return true;
        }
        let Some((label, value)) = text.split_once(':') else { return false };
        if !LABELS.contains(&label) {
            return false;
        }
        let value = value.trim();
        self.process.printed_header.push((label.into(), value.into()));
        self.take_field(label, value);
        true
    }

    fn take_field(&mut self, label: &str, value: &str) {
        let process = &mut self.process;
        match label {
            "Process" => {
                let (name, pid) = name_and_pid(value);
                process.name = name.map(|name| name.as_bytes().into());
                process.pid = pid.or(process.pid);
            }
            "Path" => process.path = Some(value.as_bytes().into()),
            "Load Address" => {
                process.load_address =
                    value.strip_prefix("0x").and_then(|digits| hexadecimal(digits.as_bytes()));
            }
            "Code Type" => process.code_type = known(value),
            "Platform" => process.platform = known(value),
            "Parent Process" => {
                let (name, pid) = name_and_pid(value);
                process.parent = pid.map(|pid| Parent { pid, name: name.map(|name| name.as_bytes().into()) });
            }
            "Launch Time" => process.started = time(value),
            "OS Version" => process.system = known(value),
            "Physical footprint" => process.totals.footprint = parse_size(value.as_bytes()),
            "Physical footprint (peak)" => process.totals.footprint_peak = parse_size(value.as_bytes()),
            "VM page size" => {
                self.page_size = value.split(' ').next().and_then(|bytes| PageSize::new(bytes.parse().ok()?));
            }
            _ => {}
        }
    }

    /// `27270 (git-fast-import)`, the only fact about the process in the oldest formats.
    fn map_of(&mut self, of: &str) {
        let (pid, name) = of.split_once(" (").unwrap_or((of, ""));
        self.process.pid = self.process.pid.or(pid.parse().ok());
        if let Some(name) = name.strip_suffix(')').filter(|_| self.process.name.is_none()) {
            self.process.name = Some(name.as_bytes().into());
        }
    }
}

/// `???` is vmmap's word for unknown values.
fn known(value: &str) -> Option<Box<str>> {
    (!value.is_empty() && value != "???").then(|| value.into())
}

/// `zsh [600]`, `??? [1]`.
fn name_and_pid(value: &str) -> (Option<&str>, Option<u32>) {
    let Some((name, pid)) = value.strip_suffix(']').and_then(|value| value.rsplit_once(" [")) else {
        return (Some(value).filter(|name| !name.is_empty()), None);
    };
    (Some(name).filter(|name| !matches!(*name, "" | "???")), pid.parse().ok())
}

/// `2025-09-06 22:04:45.198 +0530`.
fn time(value: &str) -> Option<SystemTime> {
    let mut parts = value.split_ascii_whitespace();
    let (date, clock, zone) = (parts.next()?, parts.next()?, parts.next()?);
    let numbers = |text: &str, by: char| {
        text.splitn(3, by).map(|number| number.parse::<i64>().ok()).collect::<Option<Vec<_>>>()
    };
    let [year, month, day] = numbers(date, '-')?.try_into().ok()?;
    let (clock, millis) = clock.split_once('.').unwrap_or((clock, "0"));
    let [hour, minute, second] = numbers(clock, ':')?.try_into().ok()?;
    let millis: u64 = millis.parse().ok().filter(|millis| *millis < 1000)?;
    let (sign, offset) = zone.split_at_checked(1)?;
    let offset = offset.parse::<i64>().ok().filter(|offset| (0..2400).contains(offset))?;
    let offset = match sign {
        "+" => offset,
        "-" => -offset,
        _ => return None,
    };
    let is_sane = (1970..10_000).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !is_sane || !(0..24).contains(&hour) || !(0..60).contains(&minute) || !(0..61).contains(&second) {
        return None;
    }
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    let seconds = seconds - (offset / 100 * 60 + offset % 100) * 60;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(u64::try_from(seconds).ok()? * 1000 + millis))
}

/// Days from 1970-01-01, by the rule of the Gregorian calendar with years that begin in March.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Bytes;

    fn header(text: &str) -> Header {
        let mut header = Header::default();
        for line in text.lines() {
            header.read_line(line.as_bytes());
        }
        header
    }

    #[test]
    fn the_fields_of_a_report() {
        let header = header(
            "Process:         a.out [8964]\n\
             Path:            /Users/USER/Documents/*/a: b\n\
             Load Address:    0x104e98000\n\
             Code Type:       ARM64\n\
             Parent Process:  ??? [1]\n\
             Launch Time:     2025-04-14 22:59:46.033 +0800\n\
             OS Version:      macOS 14.0 (23A344)\n\
             Physical footprint:         1185K\n\
             Physical footprint (peak):  1.8G\n\
             Virtual Memory Map of process 8964 (a.out)\n\
             VM page size:  16384 bytes\n",
        );
        let process = &header.process;
        assert_eq!(process.name.as_deref(), Some(&b"a.out"[..]));
        assert_eq!(process.pid, Some(8964));
        assert_eq!(process.path.as_deref(), Some(&b"/Users/USER/Documents/*/a: b"[..]));
        assert_eq!(process.load_address, Some(0x1_04e9_8000));
        assert_eq!(process.code_type.as_deref(), Some("ARM64"));
        assert_eq!(process.parent, Some(Parent { pid: 1, name: None }));
        assert_eq!(process.system.as_deref(), Some("macOS 14.0 (23A344)"));
        assert_eq!(process.totals.footprint, Some(Bytes(1185 << 10)));
        assert_eq!(header.page_size, PageSize::new(16384));
        assert_eq!(process.printed_header.len(), 10);
        let since_1970 = process.started.unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(since_1970.as_millis(), 1_744_642_786_033);
    }

    #[test]
    fn the_oldest_formats_name_the_process_above_the_listing() {
        let header = header("Virtual Memory Map of process 27270 (git-fast-import)");
        assert_eq!(header.process.pid, Some(27270));
        assert_eq!(header.process.name.as_deref(), Some(&b"git-fast-import"[..]));
    }

    #[test]
    fn other_lines_with_a_colon_are_not_of_the_head() {
        let mut header = Header::default();
        assert!(!header.read_line(b"Note: I ran it twice"));
        assert!(!header.read_line(b"# source: https://example.org"));
        assert!(header.process.printed_header.is_empty());
    }

    #[test]
    fn absurd_times_are_none() {
        for absurd in [
            "",
            "2025-13-01 00:00:00.000 +0000",
            "2025-01-01 00:00 +0000",
            "1-2-3 4:5:6 x",
            "2025-01-01 24:00:00 +0000",
        ] {
            assert_eq!(time(absurd), None, "{absurd}");
        }
        assert_eq!(time("1970-01-01 00:00:00.000 +0000"), Some(SystemTime::UNIX_EPOCH));
    }
}
