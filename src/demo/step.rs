//! A step of a lesson: what was done, what it changed, what was observed, and why.

use std::borrow::Cow;

use mmview_platform::{Bytes, Ending, SmapsField};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use crate::region::Classified;
use crate::text::printable;
use crate::units::Units;
use crate::view::regions::{RegionRecord, detail};
use crate::view::{Cell, Column, Record, Shows};

/// A step of a lesson.
#[derive(Clone, Debug, Default)]
pub(crate) struct Step {
    /// Of which lesson.
    pub lesson: &'static str,
    /// What it is called.
    pub name: &'static str,
    /// The call that was made, and the system call that it comes to.
    pub call: String,
    /// The regions that it is about, the main one first.
    pub regions: Vec<Seen>,
    /// What was observed beside them.
    pub facts: Vec<Fact>,
    /// Why, in a sentence or two.
    pub why: String,
}

impl Step {
    pub fn new(name: &'static str, call: impl Into<String>) -> Step {
        Step { name, call: call.into(), ..Step::default() }
    }

    /// With a region that it is about.
    pub fn region(mut self, seen: Seen) -> Step {
        self.regions.push(seen);
        self
    }

    /// With those of a parent and its child, or of other two.
    pub fn both(self, [one, other]: [Seen; 2]) -> Step {
        self.region(one).region(other)
    }

    /// With something that was observed.
    pub fn fact(mut self, fact: Fact) -> Step {
        self.facts.push(fact);
        self
    }

    /// With something that was observed, where it could be.
    pub fn fact_if(mut self, fact: Option<Fact>) -> Step {
        self.facts.extend(fact);
        self
    }

    /// With the reason, as sentences; empty ones are none.
    pub fn why(mut self, sentences: &[&str]) -> Step {
        let said: Vec<_> = sentences.iter().copied().filter(|sentence| !sentence.is_empty()).collect();
        self.why = said.join(" ");
        self
    }
}

/// A size as the lessons write it: the half of a page is `2K`, for which vmmap's format has `2048`.
pub(super) fn size_text(units: Units, size: Bytes) -> String {
    const KIB: u64 = 1 << 10;
    match units {
        Units::Auto if size.0.is_multiple_of(KIB) && size.0 < 4 * KIB => Units::K.format(size),
        _ => units.format(size),
    }
}

/// A region before and after a step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Whose region it is, such as `child`; empty where only one is shown.
    pub of: &'static str,
    /// The region before.
    pub before: Option<Classified>,
    /// The region after.
    pub after: Option<Classified>,
}

/// What is counted in a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    Size,
    Resident,
    Dirty,
    Swapped,
    Proportional,
    Unique,
    /// In transparent huge pages. Linux.
    Huge,
    /// Given back with `MADV_FREE` and not taken yet. Linux.
    Free,
    /// Locked in memory. Linux says how much of what is resident is.
    Locked,
}

impl Measure {
    const ALL: [Measure; 9] = [
        Measure::Size,
        Measure::Resident,
        Measure::Dirty,
        Measure::Swapped,
        Measure::Proportional,
        Measure::Unique,
        Measure::Huge,
        Measure::Free,
        Measure::Locked,
    ];

    fn title(self) -> &'static str {
        match self {
            Measure::Size => "size",
            Measure::Resident => "resident",
            Measure::Dirty => "dirty",
            Measure::Swapped => "swapped",
            Measure::Proportional => "proportional",
            Measure::Unique => "unique",
            Measure::Huge => "in huge pages",
            Measure::Free => "free for the taking",
            Measure::Locked => "locked",
        }
    }

    /// How much `classified` has of it; `None` where that isn't known.
    pub fn of(self, classified: &Classified) -> Option<Bytes> {
        let region = classified.facts();
        let smaps = |field| region.native.linux().and_then(|native| native.smaps.get(field));
        match self {
            Measure::Size => Some(region.size()),
            Measure::Resident => region.counts.resident,
            Measure::Dirty => region.counts.dirty,
            Measure::Swapped => region.counts.swapped,
            Measure::Proportional => region.counts.proportional,
            Measure::Unique => region.counts.unique,
            Measure::Huge => smaps(SmapsField::AnonHugePages),
            Measure::Free => smaps(SmapsField::LazyFree),
            Measure::Locked => smaps(SmapsField::Locked),
        }
    }
}

impl Seen {
    /// How much of it there is now; `None` where it is gone, or that isn't known.
    pub fn now(&self, measure: Measure) -> Option<Bytes> {
        self.after.as_ref().and_then(|after| measure.of(after))
    }

    fn then(&self, measure: Measure) -> Option<Bytes> {
        self.before.as_ref().and_then(|before| measure.of(before))
    }

    /// By how much it grew: nothing where it didn't, or that isn't known.
    pub fn grew(&self, measure: Measure) -> Bytes {
        let sizes = self.then(measure).zip(self.now(measure));
        sizes.map_or(Bytes::ZERO, |(before, after)| after.saturating_sub(before))
    }

    /// By how much it shrank: nothing where it didn't, or that isn't known.
    pub fn shrank(&self, measure: Measure) -> Bytes {
        let sizes = self.then(measure).zip(self.now(measure));
        sizes.map_or(Bytes::ZERO, |(before, after)| before.saturating_sub(after))
    }

    /// Whether the region was there before and isn't now.
    pub fn is_gone(&self) -> bool {
        self.before.is_some() && self.after.is_none()
    }

    /// The code of its share mode, where that is another than before.
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
            // What a table doesn't tell, such as what was referenced lately, is no change.
            (Some(before), Some(after)) if self.differences(before, after, Units::Bytes).is_empty() => {
                "unchanged"
            }
            (Some(_), Some(_)) => "changed",
        }
    }

    /// What is different now, in words, each with its mark.
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
        let counted = |measure: Measure| (measure.of(before), measure.of(after));
        let resident = counted(Measure::Resident);
        let mut changed = Vec::new();
        for measure in Measure::ALL {
            let sizes = counted(measure);
            // Where nobody else has the pages, these say what `resident` says.
            let is_said = matches!(measure, Measure::Proportional | Measure::Unique) && sizes == resident;
            if sizes.0 != sizes.1 && !is_said {
                let size =
                    |size: Option<Bytes>| size.map_or_else(|| "-".to_owned(), |size| size_text(units, size));
                changed.push(differs(measure.title(), &size(sizes.0), &size(sizes.1)));
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

/// Something observed that is no region.
#[derive(Clone, Debug)]
pub(crate) struct Fact {
    /// Its name in machine formats.
    name: &'static str,
    value: Value,
    /// The same in words.
    pub text: String,
}

impl Fact {
    pub fn new(name: &'static str, value: impl Into<Value>, text: impl Into<String>) -> Fact {
        Fact { name, value: value.into(), text: text.into() }
    }

    /// Bytes that somebody saw: `whose` is as in `the file has`.
    pub fn bytes(name: &'static str, whose: &str, bytes: &[u8]) -> Fact {
        let bytes = printable(bytes);
        Fact::new(name, bytes.as_str(), format!("{whose} \"{bytes}\""))
    }

    /// How a child ended.
    pub fn end(end: Ending) -> Fact {
        match end {
            Ending::Exited(status) => {
                Fact::new("exit_status", status, format!("the child has exited with status {status}"))
            }
            Ending::Killed(signal) => {
                let name = Ending::signal_name(signal);
                Fact::new("signal", &*name, format!("the child was ended by the signal {name}"))
            }
        }
    }

    /// The physical page frames behind some addresses, where the system told all.
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
        self.regions.first().map_or("none", Seen::change)
    }

    /// What is different now, in words, each with its mark.
    pub fn changes(&self, units: Units) -> Vec<(char, String)> {
        let changes: Vec<_> = self.regions.iter().flat_map(|seen| seen.changes(units)).collect();
        let is_there = self.regions.iter().any(|seen| seen.before.is_some() && seen.after.is_some());
        if changes.is_empty() && is_there { vec![('=', "no change".to_owned())] } else { changes }
    }

    fn main(&self) -> Option<&Classified> {
        self.regions.first()?.after.as_ref()
    }
}

pub(super) const COLUMNS: [Column; 12] = [
    Column::text("step", "STEP", 14).after(""),
    Column::text("change", "CHANGE", 10),
    Column::text("type", "REGION TYPE", 14),
    Column::number("size", "VSIZE", 6),
    Column::number("resident", "RSDNT", 6),
    Column::number("dirty", "DIRTY", 6),
    Column::number("swapped", "SWAP", 6),
    Column::text("call", "CALL", 0),
    Column::text("why", "", 0).shown(Shows::MachineOnly),
    Column::text("lesson", "", 0).shown(Shows::MachineOnly),
    Column::number("proportional", "", 0).shown(Shows::MachineOnly),
    Column::number("unique", "", 0).shown(Shows::MachineOnly),
];

impl Record for Step {
    fn cells(&self) -> Vec<Cell<'_>> {
        let region = self.main().map(|main| main.facts());
        let size = |size: Option<Bytes>| if region.is_some() { Cell::Size(size) } else { Cell::Empty };
        let counts = region.map(|region| region.counts).unwrap_or_default();
        vec![
            Cell::Text(Cow::Borrowed(self.name)),
            Cell::Text(Cow::Borrowed(self.change())),
            self.main().map_or(Cell::Empty, |main| Cell::Text(Cow::Borrowed(main.title()))),
            size(region.map(|region| region.size())),
            size(counts.resident),
            size(counts.dirty),
            size(counts.swapped),
            Cell::Text(Cow::Borrowed(&self.call)),
            Cell::Text(Cow::Borrowed(&self.why)),
            Cell::Text(Cow::Borrowed(self.lesson)),
            size(counts.proportional),
            size(counts.unique),
        ]
    }
}

impl Serialize for Step {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let observed = self.facts.iter().map(|fact| (fact.name.to_owned(), fact.value.clone()));
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("step", self.name)?;
        map.serialize_entry("call", &self.call)?;
        map.serialize_entry("change", self.change())?;
        map.serialize_entry("region", &self.main().map(RegionRecord::new))?;
        map.serialize_entry("why", &self.why)?;
        map.serialize_entry("regions", &self.regions)?;
        map.serialize_entry("observed", &Map::from_iter(observed))?;
        map.end()
    }
}

impl Serialize for Seen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("of", &(!self.of.is_empty()).then_some(self.of))?;
        map.serialize_entry("change", self.change())?;
        map.serialize_entry("before", &self.before.as_ref().map(RegionRecord::new))?;
        map.serialize_entry("region", &self.after.as_ref().map(RegionRecord::new))?;
        map.end()
    }
}
