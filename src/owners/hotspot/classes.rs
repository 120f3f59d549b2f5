//! The graph of classes: each class loader has a list of its classes (`src/hotspot/share/classfile/classLoaderDataGraph.hpp`,
//! `src/hotspot/share/oops/klass.hpp`). Where they lie shows where the metaspace is.

use std::collections::HashSet;

use super::vm::Vm;
use super::{Fault, Read};

/// How many class loaders and classes are followed.
const MOST_LOADERS: usize = 100_000;
const MOST_CLASSES: usize = 1 << 20;

/// What the graph leads to.
#[derive(Default)]
pub(super) struct Classes {
    /// The number of loaders that have classes.
    pub loaders: u64,
    /// The addresses of the classes.
    pub classes: HashSet<u64>,
    /// The addresses of the constant pools of classes, which are not in the class space.
    pub constants: HashSet<u64>,
    /// Whether a list ended elsewhere than it should.
    pub is_torn: bool,
}

/// Follows the lists of loaders and classes. Version 8 doesn't export the classes of a loader.
pub(super) fn read(vm: &Vm<'_, '_>) -> Read<Classes> {
    let mut found = Classes::default();
    let mut seen = HashSet::new();
    vm.tables.offset(&["ClassLoaderData::_klasses"])?;
    let mut loader = vm.value(&["ClassLoaderDataGraph::_head"])?;
    while loader != 0 {
        if seen.len() >= MOST_LOADERS || !seen.insert(loader) {
            found.is_torn = true;
            break;
        }
        let next =
            follow(vm, loader, &mut found).and_then(|()| vm.word_of(loader, &["ClassLoaderData::_next"]));
        match next {
            Ok(next) => loader = next,
            Err(Fault::Absent) => {
                found.is_torn = true;
                break;
            }
            Err(fault) => return Err(fault),
        }
    }
    Ok(found)
}

/// Follows the classes of a loader. Each must point back to it.
fn follow(vm: &Vm<'_, '_>, loader: u64, found: &mut Classes) -> Read<()> {
    vm.check(loader)?;
    let mut class = vm.word_of(loader, &["ClassLoaderData::_klasses"])?;
    found.loaders += u64::from(class != 0);
    while class != 0 {
        let is_own = vm.word_of(class, &["Klass::_class_loader_data"])? == loader;
        if !is_own || found.classes.len() >= MOST_CLASSES || !found.classes.insert(class) {
            return Err(Fault::Absent);
        }
        // Arrays have a negative number here, and no constants.
        let layout = vm.u32(vm.field(class, &["Klass::_layout_helper"])?)?;
        if layout.cast_signed() > 0 {
            found.constants.insert(vm.word_of(class, &["InstanceKlass::_constants"])?);
        }
        class = vm.word_of(class, &["Klass::_next_link"])?;
    }
    Ok(())
}
