//! Compares `mmview pmap` with the installed pmap, over its options and stopped processes, and tests the deliberate differences.
//! Without the version of pmap that mmview imitates, tests are skipped with a message.
#![cfg(feature = "cli")]
#![allow(missing_docs)]

mod common;

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Run, Running, is_linux, mmview, skip};

const IMITATED: &str = "pmap from procps-ng 4.0.2";

/// The output of a program, and its exit status.
#[derive(Debug, PartialEq, Eq)]
struct Printed {
    status: i32,
    stdout: Vec<u8>,
    stderr: String,
}

fn printed(command: &mut Command) -> Printed {
    let output = command.env("LC_ALL", "C.UTF-8").stdin(Stdio::null()).output().expect("the program starts");
    Printed {
        status: output.status.code().expect("no signal killed it"),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn theirs(arguments: &[&str]) -> Printed {
    printed(Command::new("pmap").args(arguments))
}

fn ours(arguments: &[&str]) -> Printed {
    printed(mmview(["pmap"]).args(arguments))
}

fn text(printed: &Printed) -> String {
    String::from_utf8_lossy(&printed.stdout).into_owned()
}

/// Returns whether the pmap that mmview imitates is installed; prints a message if not.
fn has_pmap() -> bool {
    if !is_linux() {
        return false;
    }
    let version = Command::new("pmap").arg("-V").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let is_it = version.as_deref().is_ok_and(|version| version == IMITATED);
    if !is_it {
        skip(&format!("the pmap here is not `{IMITATED}`: {version:?}"));
    }
    is_it
}

/// A directory that is removed after the test.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory for a test")
}

/// Stops a process with SIGSTOP, and waits until it has stopped.
fn stop(running: &Running) {
    let stopped = Command::new("kill").args(["-STOP", &running.pid()]).status().expect("kill starts");
    assert!(stopped.success());
    let stat = format!("/proc/{}/stat", running.pid());
    for _ in 0..500 {
        let stat = fs::read_to_string(&stat).expect("the process is running");
        if stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T')) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("process {} doesn't stop", running.pid());
}

fn stopped_sleeper() -> Running {
    let sleeper = Running::sleeper();
    stop(&sleeper);
    sleeper
}

/// A program with its own copies of all its libraries, in `directory`. Otherwise Pss and shared sizes would depend on the pages
/// that pmap and mmview themselves map of common libraries.
fn loner(program: &Path, directory: &Path) -> Command {
    let ldd = Command::new("ldd").arg(program).output().expect("ldd starts");
    let libraries = String::from_utf8_lossy(&ldd.stdout).into_owned();
    let copy = |from: &str| {
        let to = directory.join(Path::new(from).file_name().expect("a library is a file"));
        fs::copy(from, &to).expect("a library can be copied");
        to
    };
    let paths = libraries.split_ascii_whitespace().filter(|word| word.starts_with('/'));
    let copies: Vec<PathBuf> = paths.map(copy).collect();
    let loader = copies.iter().find(|path| path.to_string_lossy().contains("/ld-"));
    let program = copy(&program.to_string_lossy());
    let mut command = Command::new(loader.expect("a program has a loader"));
    command.arg("--library-path").arg(directory).arg(program).env_clear();
    command
}

/// A stopped process that shares no page with another process, and maps the file at `path`.
fn stopped_with_mapped(path: &Path) -> Running {
    fs::write(path, "mapped by a test\n").expect("a file for a test");
    let libraries = path.parent().expect("a file lies in a directory").join("libraries");
    fs::create_dir_all(&libraries).expect("a directory for a test");
    let mut command = loner(assert_cmd::cargo::cargo_bin!("mmview"), &libraries);
    let mut running = Running::start(command.args(["demo", "--hold", "0.2", "--file"]).arg(path));
    let maps = format!("/proc/{}/maps", running.pid());
    let inode =
        format!(" {} ", std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).expect("it is there")));
    loop {
        let is_mapped = fs::read(&maps).is_ok_and(|maps| String::from_utf8_lossy(&maps).contains(&inode));
        if is_mapped {
            stop(&running);
            return running;
        }
        assert!(running.0.try_wait().expect("it can be waited for").is_none(), "the lesson maps the file");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Compares the outputs. Other programs can change Pss and shared sizes meanwhile, so pmap runs before and after mmview, and only
/// an output that it prints twice counts.
fn assert_same(arguments: &[&str]) {
    for _ in 0..50 {
        let before = theirs(arguments);
        let ours = ours(arguments);
        if before == theirs(arguments) {
            assert_eq!(text(&ours), text(&before), "pmap {arguments:?}");
            assert_eq!(ours.stdout, before.stdout, "pmap {arguments:?}");
            assert_eq!(ours.status, before.status, "pmap {arguments:?}");
            return;
        }
    }
    skip(&format!("pmap {arguments:?} never prints the same twice"));
}

/// Compares every layout with every option that combines with it.
fn assert_all_layouts_same(pid: &str) {
    let directory = directory();
    let rc = directory.path().join("rc");
    fs::write(&rc, "[Fields Display]\nPerm\nRss\nVmFlags\nInode\nMapping\n").expect("a file for a test");
    let rc = format!("-C{}", rc.display());
    for layout in ["", "-x", "-d", "-X", "-XX", &rc] {
        for switches in ["", "-q", "-p", "-qp"] {
            let arguments: Vec<&str> =
                [layout, switches, pid].into_iter().filter(|it| !it.is_empty()).collect();
            assert_same(&arguments);
        }
    }
}

#[test]
fn every_layout_of_a_sleeping_process_is_pmaps() {
    if !has_pmap() {
        return;
    }
    let directory = directory();
    let sleep = ["/usr/bin/sleep", "/bin/sleep"].into_iter().find(|path| Path::new(path).exists());
    let mut command = loner(Path::new(sleep.expect("there is a sleep")), directory.path());
    let sleeper = Running::start(command.arg("1000"));
    std::thread::sleep(Duration::from_millis(300));
    stop(&sleeper);
    assert_all_layouts_same(&sleeper.pid());
}

#[test]
fn every_layout_of_a_process_with_a_file_of_an_odd_name_is_pmaps() {
    if !has_pmap() {
        return;
    }
    let directory = directory();
    for name in [&b"with blank "[..], b"x (deleted)", b"two\nlines", b"back\\012slash", b"[heap]", b"%s"] {
        let path = directory.path().join(std::ffi::OsStr::from_bytes(name));
        assert_all_layouts_same(&stopped_with_mapped(&path).pid());
    }
}

#[test]
fn names_that_are_not_ascii_are_pmaps() {
    if !has_pmap() {
        return;
    }
    let directory = directory();
    for name in ["grüße".as_bytes(), b"tab\there", b"\xff\xfe", b"esc\x1b[31m"] {
        let running = stopped_with_mapped(&directory.path().join(std::ffi::OsStr::from_bytes(name)));
        for layout in ["-x", "-d", "-p"] {
            // The command line contains the name too, and pmap prints terminal control characters there.
            let rows = |printed: Printed| text(&printed).split_once('\n').unwrap().1.to_owned();
            let pid = running.pid();
            assert_eq!(rows(ours(&[layout, &pid])), rows(theirs(&[layout, &pid])), "{name:?}");
        }
    }
}

#[test]
fn memory_of_every_kind_is_pmaps() {
    let has_python = Command::new("python3").arg("-V").output().is_ok();
    if !has_pmap() || !has_python {
        skip("no python3");
        return;
    }
    let script = "
import ctypes, mmap, os, threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_void_p
shm = libc.shmget(0, 16384, 0o1600)
ctypes.memset(libc.shmat(shm, None, 0), 1, 4096)
libc.shmctl(shm, 0, None)
memfd = os.memfd_create('a b'); os.ftruncate(memfd, 65536)
maps = [mmap.mmap(memfd, 65536), mmap.mmap(-1, 65536), mmap.mmap(-1, 1 << 34, flags=0x4002)]
for map in maps: map[0] = 1
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + 3 * [ctypes.c_int] + [ctypes.c_long]
libc.mmap(None, 1 << 20, 0, 0x22, -1, 0)
libc.mmap(0x10000, 8192, 3, 0x32, -1, 0)
libc.mmap(0x40000000, 8192, 6, 0x32, -1, 0)
print('mapped', flush=True)
input()
";
    let mut python = Running::start(Command::new("python3").args(["-c", script]));
    assert_eq!(python.line(), "mapped");
    stop(&python);
    let rows = text(&ours(&["-q", &python.pid()]));
    assert!(rows.contains("rw-s-   [ shmid=0x"), "{rows}");
    assert!(rows.contains("memfd:a b (deleted)"), "{rows}");
    let rows = |printed: Printed| text(&printed).rsplit("input()").next().unwrap().to_owned();
    let directory = directory();
    let rc = directory.path().join("rc");
    fs::write(&rc, "[Fields Display]\nPerm\nOffset\nDevice\nInode\nSize\nRss\nAnonymous\nVmFlags\nMapping\n")
        .expect("a file for a test");
    for layout in ["-q", "-x", "-d", "-p", &format!("-C{}", rc.display())] {
        let arguments = [layout, &python.pid()];
        assert_eq!(rows(ours(&arguments)), rows(theirs(&arguments)), "{layout}");
    }
    let tasks = fs::read_dir(format!("/proc/{}/task", python.pid())).expect("it has threads");
    let tasks = tasks.map(|task| task.expect("a thread").file_name().into_string().expect("a number"));
    let thread = tasks.into_iter().find(|task| *task != python.pid()).expect("a second thread");
    assert_same(&["-q", &thread]);
    assert_eq!(ours(&["-q", &thread]), ours(&["-q", &python.pid()]), "a thread shows the map of its process");
}

#[test]
fn pids_are_accepted_in_every_form_of_pmap() {
    if !has_pmap() {
        return;
    }
    let (one, other) = (stopped_sleeper(), stopped_sleeper());
    let id = one.0.id();
    let pids = [format!("{id:#x}"), format!("0{id:o}"), format!("/proc/{id}"), one.pid()];
    for pid in &pids {
        assert_same(&["-x", pid]);
    }
    assert_same(&[&one.pid(), &other.pid(), &one.pid()]);
    assert_same(&["-d", &one.pid(), &other.pid()]);
}

#[test]
fn ranges_are_pmaps() {
    if !has_pmap() {
        return;
    }
    let sleeper = stopped_sleeper();
    let regions = mmview(["regions", "--json", &sleeper.pid()]).output().expect("mmview starts");
    let regions = Run::of(regions).json()["regions"].clone();
    let address =
        |index: usize, end: &str| regions[index][end].as_str().unwrap().trim_start_matches("0x").to_owned();
    let (start, end) = (address(3, "start"), address(3, "end"));
    for range in [
        start.clone(),
        end.clone(),
        format!("{start},{end}"),
        format!("0x{start},"),
        format!(",{end}"),
        ",".to_owned(),
        "0".to_owned(),
        "7f,8".to_owned(),
        "-1".to_owned(),
        format!("{end},{start}"),
    ] {
        for layout in ["-p", "-d", "-q", "-qx", "-qdp"] {
            assert_same(&[layout, "-A", &range, &sleeper.pid()]);
        }
    }
}

#[test]
fn kernel_threads_and_zombies_have_no_rows() {
    if !has_pmap() {
        return;
    }
    if fs::read_to_string("/proc/2/comm").is_ok_and(|name| name.trim() == "kthreadd") {
        assert_all_layouts_same("2");
    }
    let mut parent = Running::shell("sleep 0 & echo $!; exec sleep 1000");
    let zombie = Command::new("pgrep").args(["-P", &parent.pid()]).output();
    let zombie =
        zombie.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    std::thread::sleep(Duration::from_millis(100));
    if zombie.is_empty() || parent.0.try_wait().expect("it can be waited for").is_some() {
        return;
    }
    assert_all_layouts_same(&zombie);
    assert!(ours(&[&zombie]).stderr.contains("zombie"), "the message gives the reason");
}

#[test]
fn wrong_command_lines_are_refused_with_pmaps_messages() {
    if !has_pmap() {
        return;
    }
    let first_line = |printed: &Printed| printed.stderr.lines().next().unwrap_or_default().to_owned();
    for line in [
        "",
        "-z",
        "--foo 1",
        "-x -d 1",
        "-xX 1",
        "-n -x",
        "-n 1",
        "-N",
        "-A",
        "-A zz 1",
        "-A 1,2,3 1",
        "abc",
        "0",
        "1x",
        "-- -5",
        "4294967297",
        "-a 1",
        "--r 1",
        "--read 1",
        "-p -n",
        "-q -N x",
        "-d -c 1",
        "-x",
        "--quiet=3 1",
        "--range",
        "-cC x 1",
        "1 abc",
        "--version=3",
        "--c",
        "-C /nonexistent/rc",
    ] {
        let arguments: Vec<&str> = line.split_ascii_whitespace().collect();
        let (theirs, ours) = (theirs(&arguments), ours(&arguments));
        assert_eq!(ours.status, theirs.status, "{line}");
        assert_eq!(first_line(&ours), first_line(&theirs), "{line}");
        assert_eq!(ours.stderr.contains("Usage:"), theirs.stderr.contains("Usage:"), "{line}");
        assert!(ours.stdout.is_empty(), "{line}");
    }
}

#[test]
fn configurations_are_read_as_pmap_reads_them() {
    if !has_pmap() {
        return;
    }
    let sleeper = stopped_sleeper();
    let directory = directory();
    let rc = directory.path().join("rc");
    for config in [
        "[Fields Display]\nSize\nRss\n",
        "[Fields Display]\nRss\nSize\nMapping",
        "[Mapping]\nShowPath\n[Fields Display]\nPerm\nMapping\n",
        "Rss\n",
        "",
        "[Fields Display]\nrss\nBogus\nVmFlags\nTHPeligible\nOffset\nDevice\nInode\n",
        "  [Fields Display]\n  Rss # comment\n\tReferenced\n Size Locked\n",
        "[Fields Display] junk\nRss\n",
        "[Other]\nRss\n[Fields Display]\nAnonymous\n[Other]\nSize\n",
        "[Fields Display]\r\nRss\r\n",
        "[Fields Display\nRss\n",
        "[Fields Display]Rss\nSwap\n",
        "[Fields Display]]\nSwap\n",
        "[]\nSwap\n",
        "[Mapping]\nRss\n[Fields Display]\nShowPath\n",
        "[Fields Display]\nRss#x\nAddress\n",
    ] {
        fs::write(&rc, config).expect("a file for a test");
        for switch in ["-p", "-q"] {
            let arguments = ["-C", &rc.to_string_lossy(), switch, &sleeper.pid()];
            let (theirs, ours) = (theirs(&arguments), ours(&arguments));
            assert_eq!(text(&ours), text(&theirs), "{config:?}");
            assert_eq!((ours.status, &ours.stderr), (theirs.status, &theirs.stderr), "{config:?}");
        }
    }
}

#[test]
fn a_new_configuration_is_pmaps_and_no_file_is_overwritten() {
    if !has_pmap() {
        return;
    }
    let directory = directory();
    let file = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
    let (by_us, by_them) = (ours(&["-N", &file("ours")]), theirs(&["-N", &file("theirs")]));
    assert_eq!(by_us, by_them);
    assert_eq!(fs::read(file("ours")).unwrap(), fs::read(file("theirs")).unwrap());
    assert_eq!(ours(&["-N", &file("ours")]), theirs(&["-N", &file("theirs")]), "the file exists");
    let home = |command: &mut Command| printed(command.env("HOME", directory.path()));
    assert_eq!(home(mmview(["pmap", "-n"]).arg("-q")).status, 1);
    let by_us = home(&mut mmview(["pmap", "-n"]));
    fs::remove_file(directory.path().join(".pmaprc")).unwrap();
    assert_eq!(by_us, home(Command::new("pmap").arg("-n")));
}

/// The patterns of procps-ng's test suite.
#[test]
fn the_tests_of_procps_pass() {
    if !is_linux() {
        return;
    }
    if !fs::exists("/proc/self/smaps").unwrap_or(false) {
        skip("this system has no /proc");
        return;
    }
    let sleeper = stopped_sleeper();
    let pid = sleeper.pid();
    let is_hex = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let check = |arguments: &[&str], head: Option<&str>, foot: Option<&str>| {
        let printed = ours(arguments);
        assert_eq!(printed.status, 0);
        let text = text(&printed);
        let mut lines: Vec<&str> = text.lines().collect();
        assert!(lines.remove(0).starts_with(&format!("{pid}:   ")), "{text}");
        if let Some(head) = head {
            assert!(lines.remove(0).starts_with(head), "{text}");
        }
        if let Some(foot) = foot {
            assert!(lines.pop().unwrap().starts_with(foot), "{text}");
        }
        let rows = lines.iter().filter(|line| line.split(' ').next().is_some_and(is_hex)).count();
        assert!(rows > 5, "{text}");
    };
    check(&[&pid], None, Some(" total "));
    check(&["-q", &pid], None, None);
    check(
        &["-d", &pid],
        Some("Address           Kbytes Mode  Offset           Device    Mapping"),
        Some("mapped: "),
    );
    check(&["-dq", &pid], None, None);
    check(&["-qd", &pid], None, None);
    check(&["-x", &pid], Some("Address           Kbytes     RSS   Dirty Mode  Mapping"), Some("total kB "));
    let kernel = text(&ours(&["--use-kernel-name", &pid]));
    assert!(kernel.contains("[vdso]") && !text(&ours(&[&pid])).contains("[vdso]"), "{kernel}");
    assert!(ours(&[]).stderr.contains("Usage:"));
}

#[test]
fn paths_beyond_a_kilobyte_are_complete() {
    if !is_linux() {
        return;
    }
    let directory = directory();
    let mut path = PathBuf::from(directory.path());
    for _ in 0..6 {
        path.push("d".repeat(250));
    }
    if fs::create_dir_all(&path).is_err() || !fs::exists("/proc/self/maps").unwrap_or(false) {
        skip("this system has no long paths");
        return;
    }
    let running = stopped_with_mapped(&path.join("long"));
    for layout in ["-q", "-qx", "-qd", "-qX"] {
        let printed = text(&ours(&[layout, "-p", &running.pid()]));
        let rows: Vec<&str> = printed.lines().skip(1).collect();
        let maps = fs::read_to_string(format!("/proc/{}/maps", running.pid())).unwrap();
        assert_eq!(rows.len(), maps.lines().count(), "no extra rows with {layout}");
        let whole = path.join("long").to_string_lossy().into_owned();
        assert!(rows.iter().any(|row| row.ends_with(&whole)), "{printed}");
    }
}

#[test]
fn totals_are_the_sums_of_the_rows() {
    if !fs::exists("/proc/self/smaps").unwrap_or(false) {
        skip("this system has no /proc");
        return;
    }
    let sleeper = stopped_sleeper();
    let rows = text(&ours(&["-q", "-x", &sleeper.pid()]));
    let row = rows.lines().nth(2).unwrap();
    let cells: Vec<&str> = row.split_ascii_whitespace().collect();
    let narrowed = text(&ours(&["-x", "-A", cells[0], &sleeper.pid()]));
    let total: Vec<&str> = narrowed.lines().last().unwrap().split_ascii_whitespace().skip(2).collect();
    assert_eq!(total, cells[1..4], "{narrowed}");
    let fields = text(&ours(&["-X", "-A", cells[0], &sleeper.pid()]));
    assert_eq!(fields.lines().count(), 5, "-X honors -A: {fields}");
    let totals = |printed: &str| {
        printed.lines().filter(|line| line.ends_with(" KB ")).map(str::to_owned).collect::<Vec<_>>()
    };
    let size = |total: &str| total.split_ascii_whitespace().next().unwrap().to_owned();
    let both: Vec<String> = totals(&text(&ours(&["-X", &sleeper.pid(), &sleeper.pid()])));
    assert_eq!(size(&both[0]), size(&both[1]), "totals of each process");
}

#[test]
fn failures_are_reported_with_pmaps_status() {
    let missing = ours(&["999999999"]);
    assert_eq!(missing.status, 42);
    assert!(missing.stderr.contains("no process with PID 999999999"), "{}", missing.stderr);
    if has_pmap() {
        let sleeper = stopped_sleeper();
        assert_same(&["999999999", &sleeper.pid()]);
    }
    assert_eq!(ours(&["/proc/nonsense"]).status, 1);
}

#[test]
fn help_is_pmaps_with_the_differences() {
    for option in ["-h", "--help"] {
        let help = ours(&[option]);
        assert_eq!(help.status, 0);
        let help = text(&help);
        assert!(help.contains(" -XX                         show everything the kernel provides"));
        for difference in
            ["kilobyte", "totals of -x", "-A limits -X", "status 42", "several PIDs", "terminal"]
        {
            assert!(help.contains(difference), "{difference} in {help}");
        }
    }
    assert!(text(&ours(&["-V"])).starts_with("pmap from mmview"));
    let page = Run::of(mmview(["man", "pmap"]).output().expect("mmview starts")).stdout;
    assert!(
        page.contains(r" \-XX  ") && !page.contains("gentle"),
        "mmview's own options are not options of pmap: {page}"
    );
}

#[test]
fn a_link_runs_the_tool_of_its_name() {
    let directory = directory();
    for (name, usage) in [("pmap", "pmap [options] PID"), ("vmmap", "partial-process-name")] {
        let link = directory.path().join(name);
        std::os::unix::fs::symlink(assert_cmd::cargo::cargo_bin!("mmview"), &link).unwrap();
        let help = printed(Command::new(&link).arg("--help"));
        assert!(text(&help).contains(usage), "{help:?}");
    }
}

#[test]
fn a_process_can_have_the_name_of_a_tool() {
    let named = Run::of(mmview(["--name", "pmap", "--name", "no-such-thing"]).output().unwrap());
    assert!(named.stderr.contains("matches `no-such-thing`"), "{}", named.stderr);
}

#[test]
fn captures_are_shown_with_the_fields_they_have() {
    for (name, arguments) in [
        ("pmap -x of sleep.smaps", &["-x", "tests/fixtures/linux/sleep.smaps"][..]),
        ("pmap -XX of swap-16k.smaps", &["-XX", "tests/fixtures/linux/swap-16k.smaps"]),
        ("pmap -X of names.maps", &["-X", "tests/fixtures/linux/names.maps"]),
        ("pmap -d of names.maps", &["-d", "tests/fixtures/linux/names.maps"]),
        ("pmap -x of notebook.vmmap", &["-x", "tests/fixtures/macos/notebook.vmmap"]),
        ("pmap -X of notebook.vmmap", &["-X", "tests/fixtures/macos/notebook.vmmap"]),
    ] {
        let printed = ours(arguments);
        assert_eq!(printed.status, 0, "{}", printed.stderr);
        insta::assert_snapshot!(name, text(&printed));
    }
}
