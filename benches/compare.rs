//! Measures mmview beside other tools: whole processes, interleaved, on generated targets; and the effect on the target.
//!
//! `cargo bench --bench compare` prints two tables in Markdown. Linux only; tools that are not installed are left out.
//! `cargo bench --bench compare -- --large` adds a target of 8 GiB.
#![allow(missing_docs, clippy::print_stdout)]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use memmap2::{MmapMut, MmapOptions};

const MMVIEW: &str = env!("CARGO_BIN_EXE_mmview");
const ROUNDS: usize = 11;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(target) = arguments.iter().position(|argument| argument == "--target") {
        be_target(&arguments[target + 1]);
        return;
    }
    if !std::fs::exists("/proc/self/smaps").unwrap_or(false) {
        println!("this benchmark compares tools of Linux; it needs /proc");
        return;
    }
    times(arguments.iter().any(|argument| argument == "--large"));
    stalls();
}

/// A process to measure on; killed when dropped.
struct Target(Child, String);

impl Target {
    fn start(kind: &str) -> Target {
        let program = std::env::current_exe().expect("this program has a path");
        let mut child = Command::new(program)
            .args(["--target", kind])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program can be started again");
        let stdout = child.stdout.as_mut().expect("its output is a pipe");
        BufReader::new(stdout).read_line(&mut String::new()).expect("it prints a line when it is ready");
        let pid = child.id().to_string();
        Target(child, pid)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn be_target(kind: &str) {
    // Two million blocks of malloc, of 64 bytes each with their headers.
    let blocks: Vec<Box<[u8; 56]>> = match kind {
        "small blocks" => (0..2_000_000).map(|_| Box::new([1; 56])).collect(),
        _ => Vec::new(),
    };
    let maps = match kind {
        "ordinary" => many(150),
        "many" => many(20_000),
        "huge pages" => vec![filled(2 << 30, true)],
        "large" => vec![filled(8 << 30, false)],
        "churning" => return churn(),
        _ => Vec::new(),
    };
    println!("ready");
    std::thread::sleep(Duration::from_secs(600));
    drop((maps, blocks));
}

/// Twice as many mappings as `count`: every second one is read-only, so that the kernel does not merge them.
fn many(count: usize) -> Vec<MmapMut> {
    let anonymous = || MmapOptions::new().len(4096).map_anon().expect("memory can be mapped");
    let mut maps = Vec::new();
    for _ in 0..count {
        let mut written = anonymous();
        written[0] = 1;
        maps.push(written);
        std::mem::forget(anonymous().make_read_only().expect("memory can be protected"));
    }
    maps
}

fn filled(size: usize, is_huge: bool) -> MmapMut {
    let mut map = MmapOptions::new().len(size).map_anon().expect("memory can be mapped");
    if is_huge {
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
    }
    map.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    map
}

/// Maps, touches and unmaps as fast as it can. Prints the number of operations and the longest of them each second.
fn churn() {
    let maps = many(20_000);
    let (operations, worst) = (AtomicU64::new(0), AtomicU64::new(0));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let started = Instant::now();
                let mut map = MmapMut::map_anon(16384).expect("memory can be mapped");
                map[0] = 1;
                drop(map.make_read_only().expect("memory can be protected"));
                operations.fetch_add(1, Ordering::Relaxed);
                worst.fetch_max(started.elapsed().as_micros() as u64, Ordering::Relaxed);
            }
        });
        println!("ready");
        let mut stdout = std::io::stdout();
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let line =
                format!("{} {}\n", operations.swap(0, Ordering::Relaxed), worst.swap(0, Ordering::Relaxed));
            if stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush()).is_err() {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    drop(maps);
}

/// The tools, each with its command line for a process.
fn tools(pid: &str) -> Vec<(&'static str, Command)> {
    let shell = |line: String| {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec {line}")]);
        command
    };
    let python = "import psutil,sys; psutil.Process(int(sys.argv[1])).memory_maps()";
    let tools = [
        ("cat maps", shell(format!("cat /proc/{pid}/maps"))),
        ("cat smaps", shell(format!("cat /proc/{pid}/smaps"))),
        ("mmview", shell(format!("{MMVIEW} {pid}"))),
        ("mmview --evidence shape", shell(format!("{MMVIEW} --evidence shape {pid}"))),
        ("mmview heap", shell(format!("{MMVIEW} heap {pid}"))),
        ("mmview --detail resident", shell(format!("{MMVIEW} --detail resident {pid}"))),
        ("mmview regions", shell(format!("{MMVIEW} regions {pid}"))),
        ("mmview regions --detail layout", shell(format!("{MMVIEW} regions --detail layout {pid}"))),
        ("mmview --gentle", shell(format!("{MMVIEW} --gentle {pid}"))),
        ("pmap", shell(format!("pmap {pid}"))),
        ("pmap -x", shell(format!("pmap -x {pid}"))),
        ("pmap -X", shell(format!("pmap -X {pid}"))),
        ("psutil", shell(format!("python3 -c '{python}' {pid}"))),
        ("smem", shell(format!("smem -P '^{pid}$'"))),
    ];
    tools.into_iter().collect()
}

/// `mmview watch`, which samples by itself and ends after 6 seconds.
fn watch(pid: &str) -> (&'static str, Command) {
    let mut command = Command::new(MMVIEW);
    command.args(["watch", "--interval", "20ms", "--for", "6s", "-f", "ndjson", pid]);
    ("mmview watch --interval 20ms", command)
}

fn run(command: &mut Command) -> Option<Duration> {
    let started = Instant::now();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().ok()?;
    status.success().then(|| started.elapsed())
}

fn median(mut times: Vec<Duration>) -> Option<Duration> {
    times.sort();
    times.get(times.len() / 2).copied()
}

fn times(has_large: bool) {
    let mut targets = vec!["ordinary", "many", "huge pages", "small blocks"];
    if has_large {
        targets.push("large");
    }
    let mut columns = Vec::new();
    for kind in &targets {
        let target = Target::start(kind);
        let mut tools = tools(&target.1);
        let mut times = vec![Vec::new(); tools.len()];
        for _ in 0..ROUNDS {
            for ((_, command), times) in tools.iter_mut().zip(&mut times) {
                times.extend(run(command));
            }
        }
        columns.push(times.into_iter().map(median).collect::<Vec<_>>());
    }
    println!(
        "Medians of {ROUNDS} interleaved runs of whole processes, in ms, and as a ratio to `cat smaps`.\n"
    );
    println!("| | {} |", targets.join(" | "));
    println!("|---|{}", "--:|".repeat(targets.len()));
    for (index, (name, _)) in tools("0").into_iter().enumerate() {
        let cells = columns.iter().map(|times| match (times[index], times[1]) {
            (Some(time), Some(base)) => {
                let milliseconds = time.as_secs_f64() * 1e3;
                format!("{milliseconds:.1} ({:.2})", time.as_secs_f64() / base.as_secs_f64())
            }
            _ => "not installed".to_owned(),
        });
        println!("| {name} | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
}

/// Measures how each tool, run in a loop, slows down a target that maps and unmaps all the time.
fn stalls() {
    const SECONDS: usize = 4;
    println!(
        "\nA process of 40,000 mappings that maps, protects and unmaps as fast as it can; each tool runs in a loop.\n"
    );
    println!("| | operations per second | share of undisturbed | longest stall |");
    println!("|---|--:|--:|--:|");
    let mut target = Target::start("churning");
    let mut lines = BufReader::new(target.0.stdout.take().expect("its output is a pipe")).lines();
    let mut seconds = |count: usize| {
        let lines = lines.by_ref().take(count).map_while(Result::ok);
        let figures = lines.filter_map(|line| {
            let (operations, worst) = line.split_once(' ')?;
            Some((operations.parse::<u64>().ok()?, worst.parse::<u64>().ok()?))
        });
        figures.collect::<Vec<_>>()
    };
    let summed = |figures: &[(u64, u64)]| {
        let operations =
            figures.iter().map(|(operations, _)| operations).sum::<u64>() / figures.len().max(1) as u64;
        (operations, figures.iter().map(|(_, worst)| *worst).max().unwrap_or(0))
    };
    seconds(1);
    let undisturbed = summed(&seconds(SECONDS));
    println!("| undisturbed | {} | 100 % | {:.1} ms |", undisturbed.0, undisturbed.1 as f64 / 1e3);
    for name in [
        "mmview watch --interval 20ms",
        "mmview --gentle",
        "mmview",
        "mmview --evidence shape",
        "mmview --detail resident",
        "cat maps",
        "cat smaps",
        "pmap -x",
    ] {
        let pid = target.1.clone();
        let (stop, stopped) = (AtomicBool::new(false), &AtomicBool::new(false));
        let figures = std::thread::scope(|scope| {
            let stop = &stop;
            scope.spawn(move || {
                let mut tools = tools(&pid);
                tools.push(watch(&pid));
                let tool = tools.iter_mut().find(|(tool, _)| *tool == name).map(|(_, command)| command);
                if let Some(command) = tool {
                    while !stop.load(Ordering::Relaxed) && run(command).is_some() {}
                }
                stopped.store(true, Ordering::Relaxed);
            });
            seconds(1);
            let figures = seconds(SECONDS);
            let is_missing = stopped.load(Ordering::Relaxed);
            stop.store(true, Ordering::Relaxed);
            (!is_missing).then_some(figures)
        });
        match figures {
            Some(figures) => {
                let (operations, worst) = summed(&figures);
                let share = operations * 100 / undisturbed.0.max(1);
                println!("| {name} | {operations} | {share} % | {:.1} ms |", worst as f64 / 1e3);
            }
            None => println!("| {name} | not installed | | |"),
        }
        seconds(1);
    }
}
