//! What the targets for memory dumps share: altering a sound dump, and using one that opens in every way.

use std::path::Path;

use mmview::Snapshot;
use mmview_platform::{Detail, OpenOptions, Piece, open_reader, write_archive};

/// Numbers of 32 bits, little-endian.
pub fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Numbers of 64 bits, little-endian.
pub fn longs(longs: &[u64]) -> Vec<u8> {
    longs.iter().flat_map(|long| long.to_le_bytes()).collect()
}

/// Makes a dump of an input. Chance hardly finds a header that is sound, so the first byte chooses a dump, and three bytes each
/// then change one of it: two are the place, one the value. The last place that is beyond its end cuts the dump. Another first
/// byte is that of a dump as it is.
pub fn altered(input: &[u8], sound: &[Vec<u8>]) -> Option<Vec<u8>> {
    let (choice, edits) = input.split_first()?;
    let Some(sound) = sound.get(usize::from(*choice)) else { return Some(input.to_vec()) };
    let mut dump = sound.clone();
    for edit in edits.chunks_exact(3) {
        let place = usize::from(u16::from_le_bytes([edit[0], edit[1]]));
        match dump.get_mut(place) {
            Some(byte) => *byte = edit[2],
            None => dump.truncate(place % sound.len()),
        }
    }
    Some(dump)
}

/// Opens a dump and uses it: its map is in order, its memory lies in the map and can be read, and an archive has the same map.
pub fn open(dump: &[u8]) {
    let path = Path::new("fuzz");
    let Ok(mut source) = open_reader(path, dump, &OpenOptions::new()) else { return };
    let map = source.read(Detail::Pages).expect("a dump that opened is read");
    for pair in map.regions.windows(2) {
        assert!(pair[0].range.end() <= pair[1].range.start(), "{} {}", pair[0].range, pair[1].range);
    }
    let _ = map.warnings.iter().map(ToString::to_string).collect::<String>();
    if let Some(memory) = source.memory() {
        for region in &map.regions {
            for address in [region.range.start(), region.range.end() - 1, region.range.end() - 16] {
                let mut buffer = [0; 32];
                let mut pieces = [Piece::new(address, &mut buffer)];
                memory.read(&mut pieces).expect("a dump can be read");
            }
            let present = memory.resident(region.range).expect("a dump knows what it has");
            assert!(present.windows(2).all(|pair| pair[0].end() <= pair[1].start()), "{present:?}");
        }
    }
    let mut archive = Vec::new();
    write_archive(&map, &mut archive).expect("a vector takes all");
    let again = open_reader(path, &archive[..], &OpenOptions::new()).expect("an archive can be opened");
    let again = { again }.read(Detail::Pages).expect("an archive is read");
    assert_eq!(again.regions, map.regions);
    assert_eq!(again.process, map.process);
    let count = map.regions.len();
    assert_eq!(Snapshot::from(map).regions.len(), count);
}
