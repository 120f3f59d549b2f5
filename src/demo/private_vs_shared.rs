//! Lesson `private-vs-shared`: a private and a shared mapping of the same file.

use mmview_platform::own::{Mapping, Sharing};
use mmview_platform::{Bytes, Protection};

use super::Options;
use super::error::Result;
use super::observer::Observer;
use super::scratch::{GREETING, Scratch};
use super::stage::Stage;
use super::step::{Fact, Observation, Quantity, Step};
use crate::error::Context as _;

/// The bytes written to each mapping, over the `hello` of the greeting.
const MINE: &[u8] = b"mine!";
const OURS: &[u8] = b"ours!";

/// The file and its two mappings.
struct Both {
    scratch: Scratch,
    private: Mapping,
    shared: Mapping,
    observers: [Observer; 2],
}

impl Both {
    fn observe(&mut self) -> crate::error::Result<[Observation; 2]> {
        let [private, shared] = &mut self.observers;
        Ok([private.observe()?, shared.observe()?])
    }

    fn frames(&mut self) -> [Option<u64>; 2] {
        let addresses = [self.private.address(), self.shared.address()];
        let [private, shared] = &mut self.observers;
        [private.frame(addresses[0]), shared.frame(addresses[1])]
    }

    /// Adds the first bytes of the file, as each mapping and `read` see them.
    fn facts(&self, step: Step) -> crate::error::Result<Step> {
        let beginning = |map: &Mapping| map.read_bytes(Bytes::ZERO, GREETING.len());
        Ok(step
            .fact(Fact::bytes("private_bytes", "the private mapping contains", &beginning(&self.private)))
            .fact(Fact::bytes("shared_bytes", "the shared mapping contains", &beginning(&self.shared)))
            .fact(Fact::bytes("file_bytes", "read() of the file returns", &self.scratch.beginning()?)))
    }
}

fn frames_fact(frames: [Option<u64>; 2]) -> Option<Fact> {
    Fact::frames(["private", "shared"], frames)
}

fn same_page(frames: [Option<u64>; 2]) -> Option<bool> {
    Some(frames[0]? == frames[1]?)
}

pub(super) fn run(_: &Options, stage: &mut Stage<'_>) -> Result<()> {
    let page = stage.page()?;
    let scratch = Scratch::new(page)?;
    let map = |sharing| {
        let access = Protection::READ.with(Protection::WRITE);
        Mapping::of_file(scratch.file(), page, sharing, access)
            .with_context(|| format!("failed to map {}", scratch.title()))
    };
    let (private, shared) = (map(Sharing::Private)?, map(Sharing::Shared)?);
    let observers =
        [Observer::own("private", private.address())?, Observer::own("shared", shared.address())?];
    let mut both = Both { scratch, private, shared, observers };
    mapped(stage, &mut both)?;
    written_private(stage, &mut both)?;
    written_shared(stage, &mut both)?;
    closed(stage, both)
}

fn mapped(stage: &mut Stage<'_>, both: &mut Both) -> Result<()> {
    let call = format!(
        "mmap(NULL, {0}, PROT_READ|PROT_WRITE, MAP_PRIVATE, fd, 0), and again with MAP_SHARED; a load from each",
        both.private.size().0
    );
    let step = both.facts(Step::new("mapped", call))?;
    let frames = both.frames();
    let [private, shared] = both.observe()?;
    let why = match same_page(frames) {
        Some(true) => "So far, both mappings lead to one page: the file's own, in the page cache.",
        Some(false) => "The two mappings already have different pages.",
        None => "",
    };
    let step = step.region(private).region(shared).fact_if(frames_fact(frames));
    stage.show(
        step.why(&[
            "The process mapped the same page of the same file twice, and read from both mappings.",
            why,
        ]),
    )
}

fn written_private(stage: &mut Stage<'_>, both: &mut Both) -> Result<()> {
    both.private.write_bytes(Bytes::ZERO, MINE);
    let step =
        both.facts(Step::new("private write", "private[0..5] = \"mine!\", stores to the private mapping"))?;
    let frames = both.frames();
    let file = both.scratch.beginning()?;
    let [private, shared] = both.observe()?;
    let copied = match (same_page(frames), private.grew(Quantity::Dirty) > Bytes::ZERO) {
        (Some(false), _) => {
            "The first store copied the page to another physical frame, for this mapping only (copy-on-write)."
        }
        (None, true) => {
            "The first store copied the page, for this mapping only (copy-on-write): the copy is dirty."
        }
        _ => "",
    };
    let unchanged = match file == GREETING {
        true => "The file doesn't have the new bytes, and neither a flush nor munmap changes that.",
        false => "The file changed.",
    };
    let step = step.region(private).region(shared).fact_if(frames_fact(frames));
    stage.show(step.why(&[copied, unchanged]))
}

fn written_shared(stage: &mut Stage<'_>, both: &mut Both) -> Result<()> {
    both.shared.write_bytes(Bytes::ZERO, OURS);
    let step =
        both.facts(Step::new("shared write", "shared[0..5] = \"ours!\", stores to the shared mapping"))?;
    let file = both.scratch.beginning()?;
    let frames = both.frames();
    let private_bytes = both.private.read_bytes(Bytes::ZERO, GREETING.len());
    let [private, shared] = both.observe()?;
    let file = match file.starts_with(OURS) {
        true => {
            "The file has the new bytes immediately, for every process that reads or maps it: the store made no copy, and \
             changed the file's own page."
        }
        false => "The file doesn't have the new bytes.",
    };
    let private_keeps = match private_bytes.starts_with(MINE) {
        true => "The private mapping keeps its copy of the page.",
        false => "The private mapping changed too.",
    };
    let step = step.region(private).region(shared).fact_if(frames_fact(frames));
    stage.show(step.why(&[file, private_keeps]))
}

fn closed(stage: &mut Stage<'_>, mut both: Both) -> Result<()> {
    let size = both.private.size().0;
    both.private.unmap()?;
    both.shared.unmap()?;
    let file = both.scratch.beginning()?;
    let [private, shared] = both.observe()?;
    let why = match file.starts_with(OURS) && private.is_gone() {
        true => {
            "The bytes in the private mapping existed only there and are lost; the bytes in the shared mapping are those \
             of the file."
        }
        false => "The file has the bytes that read() returned.",
    };
    stage.show(
        Step::new("closed", format!("munmap(addr, {size}) of both"))
            .region(private)
            .region(shared)
            .fact(Fact::bytes("file_bytes", "read() of the file returns", &file))
            .why(&[why]),
    )
}
