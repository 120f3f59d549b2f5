//! The regions of a live process, as they are read.

use super::facts;
use super::pages::{Resident, Stopped};
use super::process::LiveSource;
use super::query::NameResolver;
use super::read_ahead::Reader;
use super::text::Text;
use crate::error::{Error, Result};
use crate::linux::parse::stat::Stat;
use crate::model::Region;
use crate::order::Order;
use crate::warning::Warning;

/// What shows that a process still runs the same program: where its code and its stack lie. Zero for whoever may not know.
fn program(stat: &Stat) -> (u64, u64) {
    (stat.start_code, stat.start_stack)
}

/// The regions of a live process as its text is read.
pub(super) struct Listing<'a> {
    reader: Reader,
    scan: Option<Resident>,
    order: Order,
    names: NameResolver,
    before: Option<Stat>,
    count: u64,
    /// Whether the text is at its end.
    is_read: bool,
    done: bool,
    source: &'a mut LiveSource,
}

impl<'a> Listing<'a> {
    /// Lists what `text` has, with what `scan` adds. `before` is what `stat` said before the text was opened.
    pub fn new(
        source: &'a mut LiveSource,
        text: Text,
        scan: Option<Resident>,
        before: Option<Stat>,
    ) -> Listing<'a> {
        Listing {
            reader: Reader::new(text),
            scan,
            order: Order::default(),
            names: NameResolver::default(),
            before,
            count: 0,
            is_read: false,
            done: false,
            source,
        }
    }

    fn read(&mut self) -> Result<Option<Region>> {
        let Some(mut scan) = self.scan.take() else { return self.read_text() };
        let region = scan.next(|| self.read_text());
        self.source.reading = Some(scan.scanner.reading);
        self.scan = Some(scan);
        region.map_err(|stopped| match stopped {
            Stopped::Reading(error) => error,
            Stopped::Scanning(error) => self.source.scan_error(error),
        })
    }

    fn read_text(&mut self) -> Result<Option<Region>> {
        if self.is_read {
            return Ok(None);
        }
        loop {
            let read = self.reader.next_region().map_err(|source| self.source.listing_error(source))?;
            let Some(mut read) = read else {
                self.is_read = true;
                self.source.reading = self.reader.reading().or(self.source.reading);
                self.check_whole()?;
                return Ok(None);
            };
            self.count += 1;
            if read.is_name_ambiguous {
                self.names.settle_region(&self.source.process, &mut read.region);
            }
            if let Some(region) = self.order.clip(read.region) {
                return Ok(Some(region));
            }
        }
    }

    /// The text of a process that ends, or starts another program, just stops: an end has to be told from the end.
    fn check_whole(&mut self) -> Result<()> {
        let pid = self.source.pid;
        log::info!("read {} regions of process {pid}", self.count);
        self.source.warnings.extend(self.reader.warnings());
        self.source.warnings.extend(self.order.warning());
        let Some(after) = self.source.stat()? else { return Ok(()) };
        // Between dying and being a zombie a process has no memory any more: its addresses read as 0.
        let has_gone = program(&after) == (0, 0) && self.before.as_ref().map(program) != Some((0, 0));
        if facts::has_ended(&after) || (self.before.is_some() && has_gone) {
            return Err(Error::Vanished { pid });
        }
        if facts::is_kernel_thread(&after) {
            self.source.warnings.push(Warning::KernelThread { pid });
        } else if self.before.as_ref().is_some_and(|before| program(before) != program(&after)) {
            return Err(Error::Replaced { pid });
        } else if self.count == 0 {
            return Err(Error::Vanished { pid });
        }
        Ok(())
    }
}

impl Iterator for Listing<'_> {
    type Item = Result<Region>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let region = self.read().transpose();
        self.done = !matches!(region, Some(Ok(_)));
        region
    }
}
