//! Live processes through the command line. Tests for Linux are skipped elsewhere, with a message.
#![cfg(feature = "cli")]
#![allow(missing_docs)]

mod common;

use std::fs;
use std::process::Command;

use common::{Run, Running, is_linux, mmview, run, skip};
use serde_json::Value;

fn sum(regions: &Value, field: &str) -> u64 {
    regions.as_array().unwrap().iter().map(|region| region[field].as_u64().unwrap_or(0)).sum()
}

#[test]
fn rows_and_regions_add_up_to_the_total() {
    let sleeper = Running::sleeper();
    let summary = run(["--json", &sleeper.pid()]).json();
    let regions = run(["regions", "--json", &sleeper.pid()]).json()["regions"].clone();
    for field in ["resident", "dirty", "swapped", "proportional", "unique"] {
        assert_eq!(sum(&summary["rows"], field), summary["total"][field].as_u64().unwrap_or(0), "{field}");
    }
    assert_eq!(sum(&regions, "size"), summary["total"]["virtual"].as_u64().unwrap());
    assert_eq!(regions.as_array().unwrap().len() as u64, summary["total"]["regions"].as_u64().unwrap());
    for region in regions.as_array().unwrap() {
        assert!(region["resident"].as_u64() <= region["size"].as_u64(), "{region}");
        assert!(region["dirty"].as_u64() <= region["resident"].as_u64(), "{region}");
    }
}

#[test]
fn every_region_matches_its_line_of_smaps() {
    if !is_linux() {
        return;
    }
    let sleeper = Running::sleeper();
    let regions = run(["regions", "--json", &sleeper.pid()]).json()["regions"].clone();
    let text = fs::read_to_string(format!("/proc/{}/smaps", sleeper.pid())).unwrap();
    let lines: Vec<_> =
        text.lines().filter(|line| line.starts_with(|letter: char| !letter.is_ascii_uppercase())).collect();
    let regions = regions.as_array().unwrap();
    assert_eq!(regions.len(), lines.len());
    for (region, line) in regions.iter().zip(lines) {
        let trim = |address: &Value| address.as_str().unwrap().trim_start_matches("0x").to_owned();
        let (start, end) = (trim(&region["start"]), trim(&region["end"]));
        assert!(
            line.starts_with(&format!("{start:0>8}-{end:0>8} {}", region["protection"].as_str().unwrap())),
            "{line}"
        );
        if let Some(path) = region["path"].as_str() {
            assert!(line.ends_with(path), "{line}");
        }
    }
}

#[test]
fn live_and_saved_maps_match() {
    if !is_linux() {
        return;
    }
    let sleeper = Running::sleeper();
    let saved = tempfile::NamedTempFile::new().unwrap();
    fs::write(saved.path(), fs::read(format!("/proc/{}/smaps", sleeper.pid())).unwrap()).unwrap();
    // A saved map has no memory.
    let mut live = run(["regions", "--json", "--evidence", "shape", &sleeper.pid()]).json();
    let mut saved = run(["regions", "--json", "--file", saved.path().to_str().unwrap()]).json();
    for view in [&mut live, &mut saved] {
        let view = view.as_object_mut().unwrap();
        view.remove("source");
        view.remove("process");
        // These depend on how many processes map a page at the moment.
        for region in view["regions"].as_array_mut().unwrap() {
            region["proportional"].take();
            region["native"]["smaps"]["Pss"].take();
            for counter in ["Shared_Clean", "Private_Clean"] {
                region["native"]["smaps"][counter].take();
            }
            region["unique"].take();
        }
    }
    assert_eq!(live, saved);
}

#[test]
fn a_file_that_python_maps_appears_and_vanishes() {
    const PROGRAM: &str = "\
import mmap, sys
with open(sys.argv[1], 'r+b') as f:
    mm = mmap.mmap(f.fileno(), 0)
    print('mapped', flush=True)
    sys.stdin.readline()
    mm.close()
    print('closed', flush=True)
    sys.stdin.readline()
";
    if Command::new("python3").arg("--version").output().is_err() {
        return skip("there is no python3");
    }
    let file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    fs::write(file.path(), b"hello, map\n").unwrap();
    let path = file.path().canonicalize().unwrap();
    let path = path.to_str().unwrap();
    let mut python = Running::start(Command::new("python3").args(["-c", PROGRAM, path]));
    let regions = |python: &Running| {
        let regions =
            run(["regions", "--json", "--kind", "mapped-file", "--path", path, &python.pid()]).json();
        regions["regions"].as_array().unwrap().clone()
    };
    assert_eq!(python.line(), "mapped");
    let mapped = regions(&python);
    assert_eq!(mapped.len(), 1);
    assert_eq!(mapped[0]["path"], path);
    // Mach reports a shared file mapping as private if no other process maps the file.
    assert!(mapped[0]["share"] == "shared" || mapped[0]["native"]["os"] == "macos", "{mapped:?}");
    assert!(run([&*python.pid()]).stdout.lines().any(|line| line.starts_with("mapped file")));
    std::io::Write::write_all(python.0.stdin.as_mut().unwrap(), b"\n").unwrap();
    assert_eq!(python.line(), "closed");
    assert!(regions(&python).is_empty());
}

#[test]
fn a_kernel_thread_has_no_map() {
    if !is_linux() {
        return;
    }
    let Ok(entries) = fs::read_dir("/proc") else { return };
    let kernel_thread = entries.flatten().find(|entry| {
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        name.starts_with("kthreadd")
    });
    let Some(kernel_thread) = kernel_thread else {
        return skip("no kernel thread is visible");
    };
    let pid = kernel_thread.file_name().into_string().unwrap();
    let run = run([&*pid]);
    assert_eq!(run.status, 0, "{run:?}");
    assert!(run.stderr.contains("is a kernel thread: it has no memory map"), "{run:?}");
}

#[test]
fn a_zombie_has_no_map() {
    if !is_linux() {
        return;
    }
    let mut child = Command::new("true").spawn().unwrap();
    let pid = child.id().to_string();
    for _ in 0..500 {
        if fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default().contains(") Z ") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let run = run([&*pid]);
    child.wait().unwrap();
    assert_eq!(run.status, 3, "{run:?}");
    assert!(run.stderr.contains("is a zombie"), "{run:?}");
    assert!(run.stdout.contains("zombie"), "its facts are shown: {run:?}");
}

#[test]
fn a_thread_id_selects_its_process() {
    if !is_linux() {
        return;
    }
    let (to_thread, from_test) = std::sync::mpsc::channel::<()>();
    let (to_test, from_thread) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        to_test.send(fs::read_link("/proc/thread-self").unwrap()).unwrap();
        let _ = from_test.recv();
    });
    let thread_id = from_thread.recv().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
    let run = run(["--json", &thread_id]);
    drop(to_thread);
    thread.join().unwrap();
    assert_eq!(run.json()["process"]["pid"], std::process::id());
    assert!(
        run.stderr.contains(&format!("{thread_id} is a thread of process {}", std::process::id())),
        "{run:?}"
    );
}

#[test]
fn another_users_process_is_refused_with_hints() {
    const OTHER_USER: &str = "65534";
    if !is_linux() {
        return;
    }
    let sleeper = Running::sleeper();
    // That user may not have access to the path of the program.
    let copy = tempfile::Builder::new().prefix("mmview-").tempfile_in("/tmp").unwrap().into_temp_path();
    fs::copy(mmview([]).get_program(), &copy).unwrap();
    let mut permissions = fs::metadata(&copy).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
    fs::set_permissions(&copy, permissions).unwrap();
    let as_other_user = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", OTHER_USER, "--regid", OTHER_USER, "--clear-groups"])
            .arg(&copy)
            .args(arguments);
        command.output()
    };
    match as_other_user(&["--version"]) {
        Ok(output) if output.status.success() => {}
        _ => {
            return skip("only root can become another user");
        }
    }
    let run = Run::of(as_other_user(&[&sleeper.pid()]).unwrap());
    assert_eq!(run.status, 4, "{run:?}");
    assert!(run.stderr.contains("not permitted to read the memory map"), "{run:?}");
    assert!(run.stderr.contains("sudo") && run.stderr.contains("CAP_SYS_PTRACE"), "{run:?}");
    assert!(run.stdout.contains("Resident:"), "known facts are still shown: {run:?}");
    assert!(!run.stdout.contains("TOTAL"), "{run:?}");
    let json = Run::of(as_other_user(&["--json", &sleeper.pid()]).unwrap());
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["error"]["kind"], "not-permitted");
    assert!(json["process"]["resident"].as_u64() > Some(0));
}

#[test]
fn a_hostile_name_is_escaped() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let program = directory.path().join("\x1b[31mred\x07\nX");
    fs::copy("/bin/sleep", &program).unwrap();
    let sleeper = Running::start(Command::new(&program).arg("1000"));
    std::thread::sleep(std::time::Duration::from_millis(200));
    for format in ["table", "json", "ndjson", "csv", "markdown"] {
        for view in [&["-f", format][..], &["regions", "-f", format]] {
            let run = Run::of(mmview([]).args(view).arg(sleeper.pid()).output().unwrap());
            if run.status == 3 {
                return skip("a copy of sleep can't be run here");
            }
            assert_eq!(run.status, 0, "{run:?}");
            let is_safe = |text: &str| !text.bytes().any(|byte| byte < 0x20 && byte != b'\n');
            assert!(is_safe(&run.stdout) && is_safe(&run.stderr), "{run:?}");
        }
    }
}

#[test]
fn a_saved_proc_directory_works_like_a_live_one() {
    if !is_linux() {
        return;
    }
    let procfs = tempfile::tempdir().unwrap();
    let process = procfs.path().join("4242");
    fs::create_dir(&process).unwrap();
    fs::copy("tests/fixtures/linux/sleep.smaps", process.join("smaps")).unwrap();
    fs::write(process.join("comm"), "saved\n").unwrap();
    let root = procfs.path().to_str().unwrap();
    let live = run(["--procfs", root, "--json", "4242"]).json();
    let saved = run(["--json", "tests/fixtures/linux/sleep.smaps"]).json();
    assert_eq!(live["process"]["name"], "saved");
    for field in ["rows", "total", "writable", "libraries", "footprint"] {
        assert_eq!(live[field], saved[field], "{field}");
    }
    assert_eq!(run(["--procfs", root, "4243"]).status, 3);
}

#[test]
fn deletion_and_names_are_exact_though_the_text_is_ambiguous() {
    const PROGRAM: &str = "\
import mmap, os, sys
maps = []
for name in sys.argv[2:]:
    path = os.path.join(sys.argv[1], name)
    with open(path, 'w+b') as f:
        f.write(b'x'); f.flush()
        maps.append(mmap.mmap(f.fileno(), 1))
    if name.startswith('gone'):
        os.unlink(path)
print('mapped', flush=True)
sys.stdin.readline()
";
    if !is_linux() {
        return;
    }
    if Command::new("python3").arg("--version").output().is_err() {
        return skip("there is no python3");
    }
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let directory = directory.path().canonicalize().unwrap();
    let names = ["gone", "literal (deleted)", "gone too (deleted)", "two\nlines", r"back\012slash"];
    let mut python =
        Running::start(Command::new("python3").args(["-c", PROGRAM]).arg(&directory).args(names));
    assert_eq!(python.line(), "mapped");
    let glob = format!("{}/**", directory.to_str().unwrap());
    let regions = run(["regions", "--json", "--path", &glob, &python.pid()]).json()["regions"].clone();
    let found = |name: &str| {
        let path = directory.join(name);
        let region =
            regions.as_array().unwrap().iter().find(|region| region["path"] == path.to_str().unwrap());
        let region = region.unwrap_or_else(|| panic!("{name:?} is missing in {regions}"));
        region["detail"] != region["path"]
    };
    for name in names {
        assert_eq!(found(name), name.starts_with("gone"), "whether {name:?} is deleted");
    }
    let address = regions[0]["start"].as_str().unwrap();
    let hit = run(["--json", &python.pid(), address]).json();
    let at = hit["regions"].as_array().unwrap().iter().find(|region| region["start"] == address).unwrap();
    for field in ["end", "protection", "share", "kind", "path", "detail", "offset"] {
        assert_eq!(at[field], regions[0][field], "{field}");
    }
}

#[test]
fn a_changing_map_is_never_inconsistent() {
    use std::sync::atomic::{AtomicBool, Ordering};

    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let maps: Vec<_> =
                        (1..8).map(|pages| memmap2::MmapMut::map_anon(pages * 65536).unwrap()).collect();
                    for mut map in maps {
                        map[0] = 1;
                        drop(map.make_read_only().unwrap());
                    }
                }
            });
        }
        let me = std::process::id().to_string();
        for _ in 0..25 {
            let regions = run(["regions", "--json", &me]).json()["regions"].clone();
            let mut end = 0;
            for region in regions.as_array().unwrap() {
                let address = |field: &str| {
                    u64::from_str_radix(region[field].as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
                };
                assert!(address("start") >= end, "{region} overlaps the region before it");
                end = address("end");
                assert_eq!(region["size"].as_u64(), Some(end - address("start")));
                assert!(region["resident"].as_u64() <= region["size"].as_u64(), "{region}");
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn the_page_scan_counts_like_smaps() {
    if !is_linux() {
        return;
    }
    let sleeper = Running::sleeper();
    let read = |detail: &str| {
        let run = run(["regions", "--json", "--detail", detail, &sleeper.pid()]).json();
        (run["detail"].clone(), run["regions"].clone())
    };
    let ((detail, scanned), (_, counted)) = (read("resident"), read("counts"));
    if detail != "resident" {
        return skip("this kernel has no PAGEMAP_SCAN");
    }
    assert_eq!(scanned.as_array().unwrap().len(), counted.as_array().unwrap().len());
    for (scanned, counted) in scanned.as_array().unwrap().iter().zip(counted.as_array().unwrap()) {
        for field in ["start", "end", "resident", "kind"] {
            assert_eq!(scanned[field], counted[field], "{field} of {counted}");
        }
        assert!(scanned["swapped"] == counted["swapped"] || scanned["swapped"].is_null());
        assert_eq!(scanned["dirty"], Value::Null);
    }
}

#[test]
fn every_address_has_its_neighbors_of_the_listing() {
    let sleeper = Running::sleeper();
    let options = ["--json", "--detail", "layout", "--evidence", "shape"];
    let run_with = |arguments: [&str; 2]| Run::of(mmview(options).args(arguments).output().unwrap()).json();
    let listed = run_with(["regions", &sleeper.pid()])["regions"].as_array().unwrap().clone();
    for (index, region) in listed.iter().enumerate() {
        let found = run_with([&sleeper.pid(), region["start"].as_str().unwrap()]);
        let expected: Vec<_> =
            (index.saturating_sub(1)..listed.len().min(index + 2)).map(|at| listed[at].clone()).collect();
        assert_eq!(found["regions"].as_array().unwrap(), &expected, "at {}", region["start"]);
    }
}

#[test]
fn gentle_reading_reports_its_steps() {
    let sleeper = Running::sleeper();
    let gentle = run(["--json", "--gentle", "--max-stall", "2ms", &sleeper.pid()]).json();
    if gentle["reading"].is_null() {
        return skip("this system does not read gently");
    }
    assert_eq!(gentle["reading"]["max_stall_ms"], 2.0);
    assert_eq!(gentle["detail"], "resident");
    assert!(run(["--gentle", &sleeper.pid()]).stdout.contains("Read gently by PAGEMAP_SCAN"));
    assert_eq!(run(["--max-stall", "2ms", &sleeper.pid()]).status, 2, "only with --gentle");
}
