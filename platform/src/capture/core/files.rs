//! The files that a dumped process mapped, if this machine has them.

use std::fs::File;
use std::path::Path;

use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, FileKind};

use super::input::read_at;

/// How much of the beginning of an image is searched for its build ID. Linkers put it next to the headers.
pub(super) const START: usize = 64 << 10;

/// Opens the file at `path` if it is the image that began with `start` in memory: both have the same build ID.
pub(super) fn open(path: &Path, start: &[u8]) -> Option<File> {
    let wanted = build_id(start)?;
    let file = open_regular(path)?;
    let mut start = vec![0; START];
    let read = read_at(&file, &mut start, 0).ok()?;
    (build_id(&start[..read])? == wanted).then_some(file)
}

/// Opens a file that neither blocks nor notices that it is read. The files of `/proc` and the like have no size.
fn open_regular(path: &Path) -> Option<File> {
    let is_plain = |metadata: std::fs::Metadata| metadata.is_file() && metadata.len() != 0;
    if !is_plain(std::fs::metadata(path).ok()?) {
        return None;
    }
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK | libc::O_NOCTTY);
    let file = options.open(path).ok()?;
    is_plain(file.metadata().ok()?).then_some(file)
}

/// The build ID of an image that begins with `start`.
fn build_id(start: &[u8]) -> Option<Vec<u8>> {
    match FileKind::parse(start).ok()? {
        FileKind::Elf32 => find_build_id::<FileHeader32<Endianness>>(start),
        FileKind::Elf64 => find_build_id::<FileHeader64<Endianness>>(start),
        _ => None,
    }
}

fn find_build_id<E: FileHeader<Endian = Endianness>>(start: &[u8]) -> Option<Vec<u8>> {
    /// Go's own build ID, which its programs have without the GNU one.
    const GO: (&[u8], u32) = (b"Go", 4);
    let header = E::parse(start).ok()?;
    let endian = header.endian().ok()?;
    let mut of_go = None;
    for segment in header.program_headers(endian, start).ok()? {
        let Ok(Some(notes)) = segment.notes(endian, start) else { continue };
        for note in notes.flatten() {
            if note.name() == elf::ELF_NOTE_GNU && note.n_type(endian) == elf::NT_GNU_BUILD_ID {
                return Some(note.desc().to_vec());
            }
            if (note.name(), note.n_type(endian).0) == GO {
                of_go = Some(note.desc().to_vec());
            }
        }
    }
    of_go
}
