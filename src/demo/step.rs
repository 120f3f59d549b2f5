//! A step of a lesson: the call, the regions that it changed, other observations, and an explanation.

use mmview_platform::{Bytes, Ending, SmapsField};
use serde_json::{Map, Value};

use crate::region::Classified;
use crate::text::printable;
use crate::units::Units;
use crate::view::regions::{self, detail};
use crate::view::{Cell, Column, Columns, Record, Row, ValueType};

/// A step of a lesson.
#[derive(Clone, Debug, Default)]
pub(crate) struct Step {
    /// The name of its lesson.
    pub lesson: &'static str,
    /// Its name, an identifier in machine-readable formats.
    pub name: &'static str,
    /// The call, with the system call behind it.
    pub call: String,
    /// The regions that the step is about, the main one first.
    pub regions: Vec<Observation>,
    /// Other observations.
    pub facts: Vec<Fact>,
    /// The explanation, in a sentence or two.
    pub why: String,
}

impl Step {
    pub fn new(name: &'static str, call: impl Into<String>) -> Step {
        Step { name, call: call.into(), ..Step::default() }
    }

    /// Adds a region that the step is about.
    pub fn region(mut self, observation: Observation) -> Step {
        self.regions.push(observation);
        self
    }

    /// Adds two regions, such as those of a parent and its child.
    pub fn both(self, [one, other]: [Observation; 2]) -> Step {
        self.region(one).region(other)
    }

    /// Adds an observation that is not a region.
    pub fn fact(mut self, fact: Fact) -> Step {
        self.facts.push(fact);
        self
    }

    /// Adds an observation that not every system provides.
    pub fn fact_if(mut self, fact: Option<Fact>) -> Step {
        self.facts.extend(fact);
        self
    }

    /// Sets the explanation; skips empty sentences.
    pub fn why(mut self, sentences: &[&str]) -> Step {
        let sentences: Vec<_> = sentences.iter().copied().filter(|sentence| !sentence.is_empty()).collect();
        self.why = sentences.join(" ");
        self
    }
}

/// Formats a size for a lesson: half a page is `2K`, where vmmap's format has `2048`.
pub(super) fn size_text(units: Units, size: Bytes) -> String {
    const KIB: u64 = 1 << 10;
    match units {
        Units::Auto if size.0.is_multiple_of(KIB) && size.0 < 4 * KIB => Units::K.format(size),
        _ => units.format(size),
    }
}

/// A region before and after a step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observation {
    /// The owner of the region, such as `child`; empty if the step shows only one region.
    pub of: &'static str,
    /// The region before the step.
    pub before: Option<Classified>,
    /// The region after the step.
    pub after: Option<Classified>,
}

/// A quantity of a region that lessons compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quantity {
    Size,
    Resident,
    Dirty,
    Swapped,
    Proportional,
    Unique,
    /// Bytes in transparent huge pages. Linux only.
    Huge,
    /// Bytes marked with `MADV_FREE` that the kernel has not reclaimed yet. Linux only.
    Free,
    /// Locked bytes. Linux only, and only the resident ones.
    Locked,
}

impl Quantity {
    const ALL: [Quantity; 9] = [
        Quantity::Size,
        Quantity::Resident,
        Quantity::Dirty,
        Quantity::Swapped,
        Quantity::Proportional,
        Quantity::Unique,
        Quantity::Huge,
        Quantity::Free,
        Quantity::Locked,
    ];

    fn title(self) -> &'static str {
        match self {
            Quantity::Size => "size",
            Quantity::Resident => "resident",
            Quantity::Dirty => "dirty",
            Quantity::Swapped => "swapped",
            Quantity::Proportional => "proportional",
            Quantity::Unique => "unique",
            Quantity::Huge => "in huge pages",
            Quantity::Free => "lazily freed",
            Quantity::Locked => "locked",
        }
    }

    /// Returns the quantity in `classified`; `None` if it is unknown.
    pub fn of(self, classified: &Classified) -> Option<Bytes> {
        let region = classified.facts();
        let smaps = |field| region.native.linux().and_then(|native| native.smaps.get(field));
        match self {
            Quantity::Size => Some(region.size()),
            Quantity::Resident => region.counts.resident,
            Quantity::Dirty => region.counts.dirty,
            Quantity::Swapped => region.counts.swapped,
            Quantity::Proportional => region.counts.proportional,
            Quantity::Unique => region.counts.unique,
            Quantity::Huge => smaps(SmapsField::AnonHugePages),
            Quantity::Free => smaps(SmapsField::LazyFree),
            Quantity::Locked => smaps(SmapsField::Locked),
        }
    }
}

impl Observation {
    /// Returns a quantity after the step; `None` if the region is gone or the quantity is unknown.
    pub fn now(&self, quantity: Quantity) -> Option<Bytes> {
        self.after.as_ref().and_then(|after| quantity.of(after))
    }

    fn earlier(&self, quantity: Quantity) -> Option<Bytes> {
        self.before.as_ref().and_then(|before| quantity.of(before))
    }

    /// Returns by how much a quantity grew; zero if it didn't or is unknown.
    pub fn grew(&self, quantity: Quantity) -> Bytes {
        let sizes = self.earlier(quantity).zip(self.now(quantity));
        sizes.map_or(Bytes::ZERO, |(before, after)| after.saturating_sub(before))
    }

    /// Returns by how much a quantity shrank; zero if it didn't or is unknown.
    pub fn shrank(&self, quantity: Quantity) -> Bytes {
        let sizes = self.earlier(quantity).zip(self.now(quantity));
        sizes.map_or(Bytes::ZERO, |(before, after)| before.saturating_sub(after))
    }

    /// Returns whether the region existed before the step and doesn't any more.
    pub fn is_gone(&self) -> bool {
        self.before.is_some() && self.after.is_none()
    }

    /// Returns the code of the share mode if the step changed it.
    pub fn new_sharing(&self) -> Option<&'static str> {
        let code = |classified: &Classified| classified.share().code();
        let (before, after) = (self.before.as_ref().map(code)?, self.after.as_ref().map(code)?);
        (before != after).then_some(after)
    }

    pub fn change(&self) -> &'static str {
        match (&self.before, &self.after) {
            (None, None) => "none",
            (None, Some(_)) => "appeared",
            (Some(_), None) => "gone",
            // Counters that no table shows, such as Referenced, don't count as a change.
            (Some(before), Some(after)) if self.differences(before, after, Units::Bytes).is_empty() => {
                "unchanged"
            }
            (Some(_), Some(_)) => "changed",
        }
    }

    /// Describes each change, with its mark.
    fn changes(&self, units: Units) -> Vec<(char, String)> {
        let name = |classified: &Classified| {
            let detail = printable(&detail(classified));
            let size = size_text(units, classified.size());
            format!("{}{} {size}  {detail}", self.whose(), classified.title()).trim_end().to_owned()
        };
        match (&self.before, &self.after) {
            (None, None) => Vec::new(),
            (None, Some(after)) => vec![('+', name(after))],
            (Some(before), None) => vec![('-', name(before))],
            (Some(before), Some(after)) => {
                self.differences(before, after, units).into_iter().map(|text| ('~', text)).collect()
            }
        }
    }

    fn differences(&self, before: &Classified, after: &Classified, units: Units) -> Vec<String> {
        let whose = self.whose();
        let differs = |title: &str, was: &str, is: &str| format!("{whose}{title} {was} → {is}");
        let counted = |quantity: Quantity| (quantity.of(before), quantity.of(after));
        let resident = counted(Quantity::Resident);
        let mut changed = Vec::new();
        for quantity in Quantity::ALL {
            let sizes = counted(quantity);
            // For pages that no other process maps, these repeat `resident`.
            let is_redundant =
                matches!(quantity, Quantity::Proportional | Quantity::Unique) && sizes == resident;
            if sizes.0 != sizes.1 && !is_redundant {
                let size =
                    |size: Option<Bytes>| size.map_or_else(|| "-".to_owned(), |size| size_text(units, size));
                changed.push(differs(quantity.title(), &size(sizes.0), &size(sizes.1)));
            }
        }
        let (was, is) = (before.protection().as_str(), after.protection().as_str());
        if was != is {
            changed.push(differs("protection", was, is));
        }
        let (was, is) = (before.share().code(), after.share().code());
        if was != is {
            changed.push(differs("sharing", was, is));
        }
        let (was, is) = (printable(&detail(before)), printable(&detail(after)));
        if was != is {
            changed.push(match is.is_empty() {
                true => format!("{whose}no longer {was}"),
                false => format!("{whose}now {is}"),
            });
        }
        changed
    }

    fn whose(&self) -> String {
        if self.of.is_empty() { String::new() } else { format!("{}: ", self.of) }
    }
}

/// An observation that is not a region.
#[derive(Clone, Debug)]
pub(crate) struct Fact {
    /// Its name in machine-readable formats.
    name: &'static str,
    value: Value,
    /// The same for people.
    pub text: String,
}

impl Fact {
    pub fn new(name: &'static str, value: impl Into<Value>, text: impl Into<String>) -> Fact {
        Fact { name, value: value.into(), text: text.into() }
    }

    /// Bytes that were read. `whose` begins the sentence, as in `the file contains`.
    pub fn bytes(name: &'static str, whose: &str, bytes: &[u8]) -> Fact {
        let bytes = printable(bytes);
        Fact::new(name, bytes.as_str(), format!("{whose} \"{bytes}\""))
    }

    /// How a child ended.
    pub fn end(end: Ending) -> Fact {
        match end {
            Ending::Exited(status) => {
                Fact::new("exit_status", status, format!("the child exited with status {status}"))
            }
            Ending::Killed(signal) => {
                let name = Ending::signal_name(signal);
                Fact::new("signal", &*name, format!("{name} killed the child"))
            }
        }
    }

    /// The physical page frames behind two addresses; `None` unless both are known.
    pub fn frames(of: [&'static str; 2], frames: [Option<u64>; 2]) -> Option<Fact> {
        let known = of.into_iter().zip(frames.into_iter().collect::<Option<Vec<_>>>()?);
        let known: Vec<_> = known.collect();
        let words: Vec<_> = known.iter().map(|(of, frame)| format!("{of} {frame:#x}")).collect();
        let fields = known.iter().map(|(of, frame)| ((*of).to_owned(), Value::from(*frame)));
        Some(Fact::new(
            "page_frame",
            Map::from_iter(fields),
            format!("physical page frame: {}", words.join(", ")),
        ))
    }
}

impl Step {
    fn change(&self) -> &'static str {
        self.regions.first().map_or("none", Observation::change)
    }

    /// Describes the changes of all regions, each with its mark.
    pub fn changes(&self, units: Units) -> Vec<(char, String)> {
        let changes: Vec<_> = self.regions.iter().flat_map(|region| region.changes(units)).collect();
        let has_stayed = self.regions.iter().any(|region| region.before.is_some() && region.after.is_some());
        if changes.is_empty() && has_stayed { vec![('=', "no change".to_owned())] } else { changes }
    }

    fn main(&self) -> Option<&Classified> {
        self.regions.first()?.after.as_ref()
    }
}

type StepColumn = Column<Step>;

/// A size of the main region; nothing if there is no such region.
fn size(step: &Step, of: fn(&Classified) -> Option<Bytes>) -> Cell<'_> {
    step.main().map_or(Cell::Empty, |region| Cell::Size(of(region)))
}

const STEP: StepColumn = StepColumn::new("step", "STEP", ValueType::Text, |step| Cell::text(step.name));
const CHANGE: StepColumn =
    StepColumn::new("change", "CHANGE", ValueType::Object("change"), |step| Cell::text(step.change()))
        .about("What became of the main region, the first of `regions`.");
const CALL: StepColumn = StepColumn::new("call", "CALL", ValueType::Text, |step| Cell::text(&step.call));
const WHY: StepColumn = StepColumn::machine("why", ValueType::Text, |step| Cell::text(&step.why))
    .about("What happened and why, as far as it was observed, for people to read.");

/// The columns of a step.
pub(crate) const COLUMNS: Columns<Step> = Columns {
    tabular: &[
        STEP,
        CHANGE,
        StepColumn::new("type", "REGION TYPE", ValueType::Type, |step| {
            step.main().map_or(Cell::Empty, |region| Cell::text(region.title()))
        }),
        StepColumn::new("size", "VSIZE", ValueType::Measured, |step| {
            size(step, |region| Some(region.size()))
        }),
        StepColumn::new("resident", "RSDNT", ValueType::Measured, |step| {
            size(step, |region| region.counts().resident)
        }),
        StepColumn::new("dirty", "DIRTY", ValueType::Measured, |step| {
            size(step, |region| region.counts().dirty)
        }),
        StepColumn::new("swapped", "SWAP", ValueType::Measured, |step| {
            size(step, |region| region.counts().swapped)
        }),
        CALL,
        WHY,
        StepColumn::machine("lesson", ValueType::Text, |step| Cell::text(step.lesson)),
        StepColumn::machine("proportional", ValueType::Measured, |step| {
            size(step, |region| region.counts().proportional)
        }),
        StepColumn::machine("unique", ValueType::Measured, |step| {
            size(step, |region| region.counts().unique)
        }),
    ],
    json: &[
        STEP,
        CALL,
        CHANGE,
        StepColumn::machine("region", ValueType::OptionalObject("region"), |step| region_cell(step.main()))
            .about("The main region after the step."),
        WHY,
        StepColumn::machine("regions", ValueType::List("observation"), |step| {
            let row = |observation| Box::new(Row::new(&OBSERVATION, observation)) as Box<dyn Record>;
            Cell::Records(step.regions.iter().map(row).collect())
        })
        .about("Every region that the step is about."),
        StepColumn::machine("observed", ValueType::Object("observed"), |step| {
            let observed = step.facts.iter().map(|fact| (fact.name.to_owned(), fact.value.clone()));
            Cell::Value(Map::from_iter(observed).into())
        }),
    ],
};

/// A region as a JSON object; null if there is none.
fn region_cell(region: Option<&Classified>) -> Cell<'_> {
    region.map_or(Cell::Empty, |region| Cell::Record(Box::new(regions::row(region))))
}

/// A region before and after a step, as a JSON object.
pub(crate) const OBSERVATION: Columns<Observation> = Columns {
    tabular: &[],
    json: &[
        Column::<Observation>::machine("of", ValueType::OptionalObject("word"), |observation| {
            match observation.of {
                "" => Cell::Empty,
                of => Cell::text(of),
            }
        })
        .about("Whose region it is, such as parent or child; null if only one process is shown."),
        Column::<Observation>::machine("change", ValueType::Object("change"), |observation| {
            Cell::text(observation.change())
        }),
        Column::<Observation>::machine("before", ValueType::OptionalObject("region"), |observation| {
            region_cell(observation.before.as_ref())
        }),
        Column::<Observation>::machine("region", ValueType::OptionalObject("region"), |observation| {
            region_cell(observation.after.as_ref())
        }),
    ],
};
