//! Java threads: the VM records the stack of each (`src/hotspot/share/runtime/javaThread.hpp`, `threadSMR.hpp`).
//!
//! The C library's recognizers claim the stacks with the names of their threads, and the pages that the VM protects at their
//! ends. This one counts the threads, and claims the stacks that they have not found.

use mmview_platform::{AddrRange, Bytes, Claim};

use super::vm::Vm;
use super::{Fault, Read, THREADS};
use crate::kind::RegionKind;
use crate::owners::claims::Claims;
use crate::owners::target::is_plain;

/// How many threads are read.
const MOST_THREADS: u32 = 100_000;

/// The largest stack of a thread that is possible.
const LARGEST_STACK: u64 = 1 << 30;

/// Claims the stacks of Java threads, and returns the number of threads.
pub(super) fn inspect(vm: &Vm<'_, '_>, claims: &mut Claims<'_>) -> Read<u64> {
    let threads = list(vm)?;
    for thread in &threads {
        match stack(vm, *thread) {
            Ok((stack, id)) => claim(vm, claims, stack, id),
            // It has ended meanwhile, or it doesn't run yet.
            Err(Fault::Absent) => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(threads.len() as u64)
}

/// The threads: an array, and to version 11 a list.
fn list(vm: &Vm<'_, '_>) -> Read<Vec<u64>> {
    let mut threads = Vec::new();
    if !vm.tables.has("ThreadsSMRSupport::_java_thread_list") {
        let mut next = vm.value(&["Threads::_thread_list"])?;
        while next != 0 && threads.len() < MOST_THREADS as usize {
            vm.check(next)?;
            threads.push(next);
            next = vm.word_of(next, &["JavaThread::_next"])?;
        }
        return Ok(threads);
    }
    let list = vm.pointer(vm.tables.variable(&["ThreadsSMRSupport::_java_thread_list"])?)?;
    let count = vm.u32(vm.field(list, &["ThreadsList::_length"])?)?;
    let array = vm.object_of(list, &["ThreadsList::_threads"])?;
    for index in 0..count.min(MOST_THREADS) {
        let place = array.checked_add(u64::from(index) * vm.target.word).ok_or(Fault::Absent)?;
        threads.push(vm.pointer(place)?);
    }
    Ok(threads)
}

/// The stack of a thread, and its ID.
fn stack(vm: &Vm<'_, '_>, thread: u64) -> Read<(AddrRange, u32)> {
    let end = vm.word_of(thread, &["JavaThread::_stack_base", "Thread::_stack_base"])?;
    let size = vm.word_of(thread, &["JavaThread::_stack_size", "Thread::_stack_size"])?;
    let os_thread = vm.object_of(thread, &["JavaThread::_osthread", "Thread::_osthread"])?;
    let id = vm.u32(vm.field(os_thread, &["OSThread::_thread_id"])?)?;
    let start = end.checked_sub(size).ok_or(Fault::Absent)?;
    let stack = AddrRange::with_size(start, Bytes(size)).ok_or(Fault::Absent)?;
    let is_possible = size > 0
        && size <= LARGEST_STACK
        && end.is_multiple_of(vm.target.page())
        && vm.target.is_thread(id)
        && vm.target.is_within(stack, |region| {
            is_plain(region) || (region.is_unnamed() && region.protection.is_none())
        });
    if is_possible { Ok((stack, id)) } else { Err(Fault::Absent) }
}

fn claim(vm: &Vm<'_, '_>, claims: &mut Claims<'_>, stack: AddrRange, id: u32) {
    let of = |kind: RegionKind| Claim::new(stack, THREADS, kind.id()).note(vm.target.thread_title(id));
    claims.add(&of(RegionKind::ThreadStack), is_plain);
    claims.add(&of(RegionKind::StackGuard), |region| region.is_unnamed() && region.protection.is_none());
}
