//! The regions of a live process, streamed.

use procfs::process::Stat;

use super::facts;
use super::pages::{BatchError, Resident};
use super::process::LiveSource;
use super::query::NameResolver;
use super::read_ahead::Reader;
use super::text::Text;
use crate::error::{Error, Result};
use crate::model::Region;
use crate::order::Order;
use crate::warning::Warning;

/// Identifies the program that a process runs, by where its code and its stack start. Both are zero for a reader without
/// permission.
fn program(stat: &Stat) -> (u64, u64) {
    (stat.startcode, stat.startstack)
}

/// Streams the regions of a live process from the text of its map.
pub(super) struct Listing<'a> {
    reader: Reader,
    scan: Option<Resident>,
    order: Order,
    names: NameResolver,
    before: Option<Stat>,
    count: u64,
    /// Whether the text has ended.
    is_read: bool,
    done: bool,
    source: &'a mut LiveSource,
}

impl<'a> Listing<'a> {
    /// Lists the regions in `text`, with counts from `scan`. `before` is the process's `stat` from before the text was
    /// opened.
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
            BatchError::Reading(error) => error,
            BatchError::Scanning(error) => self.source.scan_error(error),
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
                self.names.resolve_region(&self.source.process, &mut read.region);
            }
            if let Some(region) = self.order.clip(read.region) {
                return Ok(Some(region));
            }
        }
    }

    /// If a process exits or starts another program, its text just ends early. Distinguishes that end from a complete one.
    fn check_whole(&mut self) -> Result<()> {
        let pid = self.source.pid;
        crate::logging::info!("read {} regions of process {pid}", self.count);
        self.source.warnings.extend(self.reader.warnings());
        self.source.warnings.extend(self.order.warning());
        let Some(after) = self.source.stat()? else { return Ok(()) };
        // Between exiting and becoming a zombie a process has no memory anymore, and its addresses read as 0.
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
