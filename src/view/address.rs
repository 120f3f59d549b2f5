//! An address: the region that holds it and its neighbors, or the gap that it lies in.

use mmview_platform::{AddrRange, Result, Warning};
use serde_json::json;

use super::origins::Origins;
use super::{Head, Note, Record, Role, Section, Tail, ViewKind, address_value, regions};
use crate::region::Classified;

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
    /// The unmapped gap around it, if it lies between two regions.
    gap: Option<AddrRange>,
}

impl Place {
    /// Finds `address` in `regions`, which are sorted by address. Reads no further than necessary.
    ///
    /// # Errors
    ///
    /// The first error of reading.
    pub fn find(address: u64, regions: impl Iterator<Item = Result<Classified>>) -> Result<Place> {
        let mut place = Place { address, before: None, hit: None, after: None, gap: None };
        for region in regions {
            let region = region?;
            if region.range().contains(address) {
                place.hit = Some(region);
            } else if region.range().start() > address {
                place.after = Some(region);
                break;
            } else {
                place.before = Some(region);
            }
        }
        if let (None, Some(before), Some(after)) = (&place.hit, &place.before, &place.after) {
            place.gap = before.range().gap_before(after.range());
        }
        Ok(place)
    }

    /// What comes before the rows.
    pub fn head(&self, origins: &Origins) -> Head {
        let mut head = Head {
            view: ViewKind::Address,
            fields: origins.fields(ViewKind::Address),
            ..regions::head(origins, None)
        };
        head.sections.push(Section::note(self.note()));
        head.fields.insert("address".to_owned(), address_value(self.address));
        head.fields.insert("found".to_owned(), self.hit.is_some().into());
        head
    }

    /// The neighbors and what is between them.
    pub fn records(&self) -> Vec<Box<dyn Record + '_>> {
        fn boxed<'a>(record: impl Record + 'a) -> Box<dyn Record + 'a> {
            Box::new(record)
        }
        let before = self.before.iter().map(|region| boxed(regions::row(region)));
        let hit = self.hit.iter().flat_map(|region| {
            let parts = regions::parts(region).map(boxed);
            std::iter::once(boxed(regions::row(region).role(Role::Hit))).chain(parts)
        });
        let gap = self.gap.iter().map(|gap| boxed(regions::gap(gap)));
        let after = self.after.iter().map(|region| boxed(regions::row(region)));
        before.chain(hit).chain(gap).chain(after).collect()
    }

    /// What comes after the rows.
    pub fn tail(&self, warnings: &[Warning]) -> Tail {
        let mut tail = regions::tail(warnings, None);
        let mut likely = regions::Likely::default();
        self.before.iter().chain(&self.hit).chain(&self.after).for_each(|region| likely.add(region));
        tail.notes.extend(likely.note());
        if let Some(hit) = &self.hit {
            let offset = self.address - hit.range().start();
            tail.fields.insert("offset_in_region".to_owned(), json!(offset));
        }
        tail
    }

    /// The sentence about it.
    pub fn note(&self) -> Note {
        let address = self.address;
        match &self.hit {
            Some(hit) => Note::AddressHit { address, region: Box::new(hit.clone()) },
            None => Note::AddressMiss {
                address,
                gap: self.gap.map(AddrRange::size),
                before: self.before.as_ref().map(|before| address - before.range().end()),
                after: self.after.as_ref().map(|after| after.range().start() - address),
            },
        }
    }
}
