//! Children that take turns with this process. Without the usual harness, whose threads would make a fork impossible.
#![allow(missing_docs)]

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn main() {}

#[cfg(any(target_os = "linux", target_os = "macos"))]
fn main() {
    turns::a_child_does_nothing_but_in_its_turns();
    turns::how_a_child_ends_is_reported();
    turns::a_child_that_is_dropped_is_gone();
    turns::a_child_ends_with_its_parent();
    #[cfg(target_os = "linux")]
    turns::reading_a_childs_memory_does_not_grow_it();
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
mod turns {
    use std::time::Duration;

    use libc::{SIGBUS, SIGSEGV};
    use mmview_platform::Ending;
    use mmview_platform::own::{Child, Mapping, Sharing};
    use mmview_platform::{Bytes, OpenOptions, Protection, open_process};

    const ACCESS: Protection = Protection::READ.with(Protection::WRITE);

    pub fn a_child_does_nothing_but_in_its_turns() {
        let map = Mapping::anonymous(Bytes(1), Sharing::Shared, ACCESS).unwrap();
        let mut child = Child::fork(|turns| {
            for step in 1..=2 {
                map.write(Bytes::ZERO, step);
                turns.stop(&[step; 3]);
            }
            7
        })
        .unwrap();
        // Enough time to see a child that does not wait.
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(map.read(Bytes::ZERO), 0);
        assert_eq!(child.step().unwrap().as_deref(), Some(&[1, 1, 1][..]));
        assert_eq!(map.read(Bytes::ZERO), 1);
        assert_eq!(child.step().unwrap().as_deref(), Some(&[2, 2, 2][..]));
        assert_eq!(child.step().unwrap(), None);
        assert_eq!(child.finish().unwrap(), Ending::Exited(7));
        assert_eq!(child.step().unwrap(), None, "also where it has ended already");
    }

    pub fn how_a_child_ends_is_reported() {
        let mut map = Mapping::anonymous(Bytes(1), Sharing::Private, Protection::READ).unwrap();
        let end = Child::fork(|_| {
            map.write(Bytes::ZERO, 1);
            0
        });
        let end = end.unwrap().finish().unwrap();
        let faults = [SIGSEGV, SIGBUS].map(Ending::Killed);
        assert!(faults.contains(&end), "a store to what may only be read: {end:?}");
        let end = Child::fork(|_| map.use_after_unmap(Bytes::ZERO).map_or(1, i32::from)).unwrap().finish();
        assert_eq!(end.unwrap(), Ending::Killed(SIGSEGV));
        // Like a panic, but without its message.
        let end = Child::fork(|_| std::panic::resume_unwind(Box::new(()))).unwrap().finish().unwrap();
        assert_eq!(end, Ending::Exited(101));
    }

    pub fn a_child_that_is_dropped_is_gone() {
        let child = Child::fork(|turns| {
            turns.stop(&[]);
            0
        });
        let pid = child.unwrap().pid();
        assert!(open_process(pid, &OpenOptions::default()).is_err(), "process {pid} is still there");
    }

    pub fn a_child_ends_with_its_parent() {
        // The middle process reports the ID of the innermost one, and ends without notice.
        let mut middle = Child::fork(|turns| {
            let inner = Child::fork(|turns| {
                turns.stop(&[]);
                0
            });
            let inner = std::mem::ManuallyDrop::new(inner.unwrap());
            turns.stop(&inner.pid().to_ne_bytes());
            0
        })
        .unwrap();
        let report = middle.step().unwrap().unwrap();
        let pid = u32::from_ne_bytes(report.try_into().unwrap());
        assert_eq!(middle.finish().unwrap(), Ending::Exited(0));
        let is_there = || match open_process(pid, &OpenOptions::default()) {
            // A zombie waits for the process that adopted it, and does not run anymore.
            Ok(mut source) => source
                .process()
                .is_ok_and(|process| process.state != Some(mmview_platform::ProcessState::Zombie)),
            Err(_) => false,
        };
        for _ in 0..500 {
            if !is_there() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("process {pid} has outlived its parent");
    }

    #[cfg(target_os = "linux")]
    pub fn reading_a_childs_memory_does_not_grow_it() {
        use mmview_platform::own::Advice;
        use mmview_platform::{Piece, Shortfall};
        let pages = 4096;
        let page =
            mmview_platform::open_self(&OpenOptions::default()).unwrap().info().page_size.unwrap().bytes();
        let map = Mapping::anonymous(Bytes(pages * page.0), Sharing::Private, ACCESS).unwrap();
        let _ = map.advise(Bytes::ZERO, map.size(), Advice::NoHugePages);
        let mut child = Child::fork(|turns| {
            map.write(Bytes::ZERO, 1);
            map.write(Bytes(10 * page.0), 11);
            turns.stop(&[]);
            0
        })
        .unwrap();
        child.step().unwrap();
        let mut source = open_process(child.pid(), &OpenOptions::default()).unwrap();
        let memory = source.memory().unwrap();
        let before = source.totals().unwrap().resident.unwrap();
        let mut buffers = vec![vec![0; page.0 as usize]; pages as usize];
        let mut pieces: Vec<_> = (map.address()..)
            .step_by(page.0 as usize)
            .zip(&mut buffers)
            .map(|(address, buffer)| Piece::new(address, buffer))
            .collect();
        memory.read(&mut pieces).unwrap();
        for (index, piece) in pieces.iter().enumerate() {
            let written = [0, 10].contains(&index);
            assert_eq!(piece.is_complete(), written);
            assert_eq!(piece.shortfall(), (!written).then_some(Shortfall::NotResident));
            assert!(!written || piece.bytes()[0] == index as u8 + 1);
        }
        assert_eq!(memory.resident(map.range()).unwrap().len(), 2);
        // The kernel's counter may lag by some pages for each processor.
        let grown = source.totals().unwrap().resident.unwrap().saturating_sub(before);
        assert!(grown < Bytes(1024 * page.0), "grown by {grown:?}");
        drop(child);
        let mut byte = [0];
        assert!(matches!(
            memory.read(&mut [Piece::new(map.address(), &mut byte)]),
            Err(mmview_platform::Error::Vanished { .. })
        ));
    }
}
