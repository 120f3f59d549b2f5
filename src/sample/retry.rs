//! Reading again: the one place that decides when a map is worth another attempt.

use mmview_platform::{Detail, Error, MemoryMap, Region, RegionSource, Result, Warning};

use crate::owners::{self, Wanted};

/// A map that changes all the time is taken as the last of this many attempts has it.
const ATTEMPTS: u32 = 3;

/// Reads with `read`, and again if the process starts another program meanwhile.
pub(crate) fn unless_replaced<T>(
    source: &mut dyn RegionSource,
    read: impl FnMut(&mut dyn RegionSource) -> Result<T>,
) -> Result<T> {
    attempt(source, read, |_| false)
}

/// Reads the whole map, and what the memory shows; again if the process starts another program meanwhile.
pub(crate) fn map(source: &mut dyn RegionSource, detail: Detail, wanted: Wanted) -> Result<MemoryMap> {
    unless_replaced(source, |source| inspected(source, detail, wanted))
}

/// Reads the whole map, and what the memory shows; again if it changes meanwhile.
pub(crate) fn steady_map(source: &mut dyn RegionSource, detail: Detail, wanted: Wanted) -> Result<MemoryMap> {
    attempt(source, |source| inspected(source, detail, wanted), |map| is_torn(&map.warnings))
}

fn inspected(source: &mut dyn RegionSource, detail: Detail, wanted: Wanted) -> Result<MemoryMap> {
    let mut map = source.read(detail)?;
    owners::inspect(&mut map, source, wanted)?;
    Ok(map)
}

/// Reads the regions alone, and again if they change meanwhile.
pub(crate) fn steady_regions(
    source: &mut dyn RegionSource,
    detail: Detail,
) -> Result<(Vec<Region>, Vec<Warning>)> {
    let read = |source: &mut dyn RegionSource| {
        let regions = source.regions(detail)?.collect::<Result<Vec<_>>>()?;
        Ok((regions, source.take_warnings()))
    };
    attempt(source, read, |(_, warnings)| is_torn(warnings))
}

fn attempt<T>(
    source: &mut dyn RegionSource,
    mut read: impl FnMut(&mut dyn RegionSource) -> Result<T>,
    is_worth_another: impl Fn(&T) -> bool,
) -> Result<T> {
    for _ in 1..ATTEMPTS {
        match read(source) {
            Ok(value) if !is_worth_another(&value) => return Ok(value),
            Ok(_) => {}
            Err(Error::Replaced { .. }) => {
                // They are about the program that is gone.
                source.take_warnings();
            }
            Err(error) => return Err(error),
        }
    }
    read(source)
}

fn is_torn(warnings: &[Warning]) -> bool {
    warnings.iter().any(|warning| matches!(warning, Warning::Torn { .. }))
}
