//! OpenJDK's virtual machine, HotSpot, 8 to 26. libjvm exports tables of its types, fields and constants for debuggers
//! (`src/hotspot/share/runtime/vmStructs.cpp` and `src/hotspot/share/gc/*/vmStructs_*.hpp`), so nothing here knows an offset.
//! Fields were renamed and moved: each is looked up by all of its names, and what a version doesn't have is left out.

mod classes;
mod code;
mod heap;
mod metaspace;
mod regions;
mod side;
mod spaces;
mod tables;
mod threads;
mod vm;
mod zgc;

use mmview_platform::{Bytes, Error, FactValue, Result, Runtime};

use super::claims::Claims;
use super::target::Target;
use super::{Recognizer, Wanted};
use heap::Heap;
use tables::optional;
use vm::Vm;

/// OpenJDK's virtual machine.
pub(super) struct HotSpot {
    wanted: Wanted,
}

impl HotSpot {
    pub fn new(wanted: Wanted) -> HotSpot {
        HotSpot { wanted }
    }
}

/// The names of the owners.
const HEAP: &str = "Java heap";
const CODE: &str = "Java code cache";
const METASPACE: &str = "Java metaspace";
const THREADS: &str = "Java threads";

/// Why a part of the VM is left out.
#[derive(Debug)]
enum Fault {
    /// The version has no such part, it is not resident, or it contradicts itself or the map.
    Absent,
    /// The memory can't be read at all.
    Memory(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        Fault::Memory(error)
    }
}

/// What was read of the VM.
type Read<T> = std::result::Result<T, Fault>;

impl Recognizer for HotSpot {
    fn may_apply(&self, target: &Target<'_>) -> bool {
        target.images.exporting(tables::FIELDS).next().is_some()
    }

    fn recognize(&mut self, target: &Target<'_>, claims: &mut Claims<'_>) -> Result<()> {
        // A process has one VM at most.
        let Some((image, _)) = target.images.exporting(tables::FIELDS).next() else { return Ok(()) };
        let Some(vm) = optional(Vm::attach(target, image))? else { return Ok(()) };
        let name =
            optional(vm.version())?.map_or("HotSpot".to_owned(), |version| format!("HotSpot {version}"));
        let mut runtime = Runtime::new(HEAP, name);
        if let Some(heap) = optional(heap::inspect(&vm, claims))? {
            optional(side::inspect(&vm, claims, &heap))?;
            runtime = with_heap(&vm, runtime, &heap);
        }
        optional(code::inspect(&vm, claims, self.wanted.largest))?;
        if let Some(threads) = optional(threads::inspect(&vm, claims))? {
            runtime = runtime.fact("Java threads", FactValue::Count(threads));
        }
        let classes = optional(classes::read(&vm))?;
        if let Some(classes) = classes.as_ref().filter(|classes| !classes.is_torn) {
            runtime = runtime
                .fact("class loaders", FactValue::Count(classes.loaders))
                .fact("loaded classes", FactValue::Count(classes.classes.len() as u64));
        }
        let classes = classes.unwrap_or_default();
        if let Some(committed) = optional(metaspace::inspect(&vm, claims, &classes))? {
            runtime = runtime.fact("committed metaspace", FactValue::Size(Bytes(committed)));
        }
        optional(side::counters(&vm, claims))?;
        claims.runtime(runtime);
        Ok(())
    }
}

/// Adds what the VM records about its heap.
fn with_heap(vm: &Vm<'_, '_>, runtime: Runtime, heap: &Heap) -> Runtime {
    let mut runtime = runtime.fact("garbage collector", FactValue::Text(heap.collector.name().into()));
    let sizes = [
        ("maximum heap size", vm.size_flag("MaxHeapSize")),
        ("committed heap", Some(heap.committed)),
        ("used heap", heap.used),
    ];
    for (label, size) in sizes {
        if let Some(size) = size {
            runtime = runtime.fact(label, FactValue::Size(Bytes(size)));
        }
    }
    match heap.collections {
        Some(collections) => runtime.fact("collections", FactValue::Count(collections)),
        None => runtime,
    }
}
