//! What lies at an address: the region that holds it and its neighbours, or the hole that it falls into.

use mmview_platform::{AddrRange, Result, Warning};
use serde_json::json;

use super::process::Origins;
use super::regions::{self, GapRecord, RegionRecord};
use super::{Head, Record, Tail, address_value};
use crate::region::Classified;
use crate::text::printable;
use crate::units::Units;

/// An address and what is around it.
#[derive(Clone, Debug)]
pub struct Place {
    /// The address.
    pub address: u64,
    /// The last region that ends at or before it.
    pub before: Option<Classified>,
    /// The region that holds it.
    pub hit: Option<Classified>,
    /// The first region after it.
    pub after: Option<Classified>,
}

impl Place {
    /// Finds `address` in `regions`, which come by address, and reads no further than it has to.
    ///
    /// # Errors
    ///
    /// The first error of reading.
    pub fn find(address: u64, regions: impl Iterator<Item = Result<Classified>>) -> Result<Place> {
        let mut place = Place { address, before: None, hit: None, after: None };
        for classified in regions {
            let classified = classified?;
            let range = classified.range();
            if range.contains(address) {
                place.hit = Some(classified);
            } else if range.start() > address {
                place.after = Some(classified);
                break;
            } else {
                place.before = Some(classified);
            }
        }
        Ok(place)
    }

    /// The unmapped hole around the address, where it is in no region and between two.
    pub fn gap(&self) -> Option<AddrRange> {
        let (None, Some(before), Some(after)) = (&self.hit, &self.before, &self.after) else { return None };
        before.range().gap_before(after.range())
    }

    /// What stands before the rows.
    pub fn head(&self, origins: &Origins, units: Units) -> Head {
        let head = regions::head(origins);
        let mut text = vec![self.sentence(units), String::new()];
        let mut fields = origins.fields("address");
        fields.insert("address".to_owned(), address_value(self.address));
        fields.insert("found".to_owned(), self.hit.is_some().into());
        let mut lines = head.text;
        lines.append(&mut text);
        Head { view: "address", text: lines, fields, ..head }
    }

    /// The neighbours and what is between them.
    pub fn records(&self) -> Vec<Box<dyn Record + '_>> {
        let mut records: Vec<Box<dyn Record + '_>> = Vec::new();
        records
            .extend(self.before.iter().map(|region| Box::new(RegionRecord::new(region)) as Box<dyn Record>));
        records.extend(self.hit.iter().map(|region| Box::new(RegionRecord::hit(region)) as Box<dyn Record>));
        records.extend(self.gap().map(|gap| Box::new(GapRecord(gap)) as Box<dyn Record>));
        records
            .extend(self.after.iter().map(|region| Box::new(RegionRecord::new(region)) as Box<dyn Record>));
        records
    }

    /// What stands after the rows.
    pub fn tail(&self, warnings: &[Warning], units: Units) -> Tail {
        let mut tail = regions::tail(warnings, None, units);
        if let Some(hit) = &self.hit {
            let offset = self.address - hit.range().start();
            tail.fields.insert("offset_in_region".to_owned(), json!(offset));
        }
        tail
    }

    fn sentence(&self, units: Units) -> String {
        let address = self.address;
        let Some(hit) = &self.hit else { return self.miss(units) };
        let region = hit.facts();
        let into = address - region.range.start();
        let detail = printable(&regions::detail(hit));
        let mut sentence = format!("{address:#x} is {into:#x} bytes into {}", hit.title());
        if !detail.is_empty() {
            sentence.push_str(&format!(" {detail}"));
        }
        if region.is_file_backed() {
            sentence.push_str(&format!(", at offset {:#x} of the file", region.offset.wrapping_add(into)));
        }
        sentence.push('.');
        sentence
    }

    fn miss(&self, units: Units) -> String {
        let address = self.address;
        let after = self.after.as_ref().map(|after| {
            let distance = after.range().start() - address;
            format!("the next region starts {distance:#x} bytes after it")
        });
        let before = self.before.as_ref().map(|before| {
            let distance = address - before.range().end();
            format!("the last one ended {distance:#x} bytes before it")
        });
        let gap = self.gap().map(|gap| format!("the gap is {}", units.format(gap.size())));
        let rest: Vec<_> = [gap, before, after].into_iter().flatten().collect();
        match rest.is_empty() {
            true => format!("{address:#x} is not in any region."),
            false => format!("{address:#x} is not in any region: {}.", rest.join(", ")),
        }
    }
}
