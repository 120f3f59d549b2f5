//! ELF images: what the headers of a file say about its mappings. Reads the file, never the mapped pages.

use std::cell::OnceCell;
use std::fs::File;
use std::os::unix::fs::FileExt;

use object::elf::{self, FileHeader32, FileHeader64};
use object::read::ReadCache;
use object::read::elf::{Dyn, FileHeader, ProgramHeader, SectionHeader};
use object::{Endianness, FileKind};

/// The largest notes and dynamic section that are read. Real ones have a few hundred bytes, and at most some kilobytes.
const LARGEST_PART: u64 = 1 << 20;

/// The bounds of a hash table of symbols: more than the largest libraries have.
const MOST_BUCKETS: u32 = 1 << 24;
const LONGEST_CHAIN: u32 = 4096;
const LONGEST_NAME: usize = 256;

/// A loadable segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub offset: u64,
    pub address: u64,
    pub file_size: u64,
    pub memory_size: u64,
    pub is_writable: bool,
    pub is_executable: bool,
}

/// The headers of an image. Addresses are those of the file, before the loader adds its bias.
#[derive(Debug)]
pub(super) struct Elf {
    file: File,
    is_64: bool,
    is_big: bool,
    /// Whether it names a loader for its dynamic libraries.
    pub has_interpreter: bool,
    pub segments: Vec<Segment>,
    /// What the loader makes read-only after relocation: the address and the size.
    pub relro: Option<(u64, u64)>,
    pub build_id: Option<String>,
    pub soname: Option<String>,
    dynamic: Dynamic,
    hash_table: OnceCell<Option<HashTable>>,
}

/// The header of a hash table of symbols.
#[derive(Clone, Copy, Debug)]
struct HashTable {
    buckets: u32,
    /// The index of the first symbol in it.
    first: u32,
    bloom_words: u32,
    shift: u32,
    /// The address of the filter, which the buckets follow.
    bloom: u64,
}

/// The addresses in the dynamic section that lead to its symbols.
#[derive(Clone, Copy, Debug, Default)]
struct Dynamic {
    names: Option<u64>,
    names_size: u64,
    soname: Option<u64>,
    symbols: Option<u64>,
    gnu_hash: Option<u64>,
}

impl Elf {
    /// Reads the headers; `None` if the file is no ELF image or contradicts itself.
    pub fn read(file: File) -> Option<Elf> {
        let mut start = [0; 16];
        file.read_exact_at(&mut start, 0).ok()?;
        match FileKind::parse(&start[..]).ok()? {
            FileKind::Elf32 => Elf::parse::<FileHeader32<Endianness>>(file),
            FileKind::Elf64 => Elf::parse::<FileHeader64<Endianness>>(file),
            _ => None,
        }
    }

    fn parse<E: FileHeader<Endian = Endianness>>(file: File) -> Option<Elf> {
        let data = ReadCache::new(file.try_clone().ok()?);
        let header = E::parse(&data).ok()?;
        let endian = header.endian().ok()?;
        let mut image = Elf {
            file,
            is_64: header.is_type_64(),
            is_big: endian == Endianness::Big,
            has_interpreter: false,
            segments: Vec::new(),
            relro: None,
            build_id: None,
            soname: None,
            dynamic: Dynamic::default(),
            hash_table: OnceCell::new(),
        };
        for segment in header.program_headers(endian, &data).ok()? {
            let address = segment.p_vaddr(endian).into();
            let (file_size, memory_size) = (segment.p_filesz(endian).into(), segment.p_memsz(endian).into());
            match segment.p_type(endian) {
                elf::PT_LOAD => image.segments.push(Segment {
                    offset: segment.p_offset(endian).into(),
                    address,
                    file_size,
                    memory_size,
                    is_writable: segment.p_flags(endian).0 & elf::PF_W.0 != 0,
                    is_executable: segment.p_flags(endian).0 & elf::PF_X.0 != 0,
                }),
                elf::PT_INTERP => image.has_interpreter = true,
                elf::PT_GNU_RELRO => image.relro = Some((address, memory_size)),
                elf::PT_NOTE if image.build_id.is_none() && file_size <= LARGEST_PART => {
                    let mut notes = segment.notes(endian, &data).ok().flatten();
                    while let Some(Ok(Some(note))) = notes.as_mut().map(|notes| notes.next()) {
                        if note.name() == elf::ELF_NOTE_GNU && note.n_type(endian) == elf::NT_GNU_BUILD_ID {
                            image.build_id = Some(hex(note.desc()));
                        }
                    }
                }
                elf::PT_DYNAMIC if file_size <= LARGEST_PART => {
                    for entry in segment.dynamic(endian, &data).ok().flatten().unwrap_or_default() {
                        image.dynamic.add(entry.d_tag(endian), entry.d_val(endian).into());
                    }
                }
                _ => {}
            }
        }
        if image.segments.is_empty() {
            return None;
        }
        image.soname = image.dynamic.soname.and_then(|offset| image.name_at(offset));
        Some(image)
    }

    /// The size of its words: 4 or 8.
    pub fn word_size(&self) -> u64 {
        if self.is_64 { 8 } else { 4 }
    }

    /// Where the file has what is loaded at `address`.
    fn offset_of(&self, address: u64) -> Option<u64> {
        let holds = |segment: &&Segment| {
            address.checked_sub(segment.address).is_some_and(|into| into < segment.file_size)
        };
        let segment = self.segments.iter().find(holds)?;
        segment.offset.checked_add(address - segment.address)
    }

    /// Reads from the file what is loaded at `address`.
    pub fn read_at(&self, address: u64, buffer: &mut [u8]) -> Option<()> {
        self.file.read_exact_at(buffer, self.offset_of(address)?).ok()
    }

    /// Reads from the file up to `size` bytes of what is loaded at `address`.
    pub fn read_up_to(&self, address: u64, size: usize) -> Option<Vec<u8>> {
        let start = self.offset_of(address)?;
        let mut buffer = vec![0; size];
        let read = self.file.read_at(&mut buffer, start).ok()?;
        buffer.truncate(read);
        Some(buffer)
    }

    /// The address and the size of a section that is loaded.
    pub fn section(&self, name: &str) -> Option<(u64, u64)> {
        if self.is_64 {
            self.find_section::<FileHeader64<Endianness>>(name)
        } else {
            self.find_section::<FileHeader32<Endianness>>(name)
        }
    }

    fn find_section<E: FileHeader<Endian = Endianness>>(&self, name: &str) -> Option<(u64, u64)> {
        let data = ReadCache::new(self.file.try_clone().ok()?);
        let header = E::parse(&data).ok()?;
        let endian = header.endian().ok()?;
        let (_, section) = header.sections(endian, &data).ok()?.section_by_name(endian, name.as_bytes())?;
        Some((section.sh_addr(endian).into(), section.sh_size(endian).into()))
    }

    /// Reads a word of 32 bits from the file.
    pub fn u32_at(&self, address: u64) -> Option<u32> {
        let mut bytes = [0; 4];
        self.read_at(address, &mut bytes)?;
        Some(if self.is_big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn u64_at(&self, address: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.read_at(address, &mut bytes)?;
        Some(if self.is_big { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) })
    }

    fn word_at(&self, address: u64) -> Option<u64> {
        if self.is_64 { self.u64_at(address) } else { self.u32_at(address).map(u64::from) }
    }

    /// The string at `offset` of the string table.
    fn name_at(&self, offset: u64) -> Option<String> {
        if offset >= self.dynamic.names_size {
            return None;
        }
        let mut buffer = [0; LONGEST_NAME];
        let start = self.offset_of(self.dynamic.names?.checked_add(offset)?)?;
        let read = self.file.read_at(&mut buffer, start).ok()?;
        let end = buffer[..read].iter().position(|&byte| byte == 0)?;
        Some(String::from_utf8_lossy(&buffer[..end]).into_owned())
    }

    /// The address of a symbol that the image exports, by its hash table (`DT_GNU_HASH`). Costs one small read if there is no
    /// such symbol.
    pub fn export(&self, name: &str) -> Option<u64> {
        let table = self.hash_table.get_or_init(|| self.read_hash_table()).as_ref()?;
        let word = self.word_size();
        let hash = elf::gnu_hash(name.as_bytes());
        let bits = word as u32 * 8;
        let place = u64::from((hash / bits) & (table.bloom_words - 1));
        let filter = self.word_at(table.bloom.checked_add(place * word)?)?;
        let is_set = |hash: u32| filter >> (hash % bits) & 1 == 1;
        if !is_set(hash) || !is_set(hash.checked_shr(table.shift)?) {
            return None;
        }
        let chains = table.bloom.checked_add(u64::from(table.bloom_words) * word)?;
        let values = chains.checked_add(u64::from(table.buckets) * 4)?;
        let mut index = self.u32_at(chains.checked_add(u64::from(hash % table.buckets) * 4)?)?;
        for _ in 0..LONGEST_CHAIN {
            let value = self.u32_at(values.checked_add(u64::from(index.checked_sub(table.first)?) * 4)?)?;
            if value | 1 == hash | 1
                && let Some(address) = self.symbol(index, name)
            {
                return Some(address);
            }
            if value & 1 == 1 {
                break;
            }
            index = index.checked_add(1)?;
        }
        None
    }

    fn read_hash_table(&self) -> Option<HashTable> {
        let table = self.dynamic.gnu_hash?;
        let number = |index: u64| self.u32_at(table.checked_add(4 * index)?);
        let table = HashTable {
            buckets: number(0)?,
            first: number(1)?,
            bloom_words: number(2)?,
            shift: number(3)?,
            bloom: table.checked_add(16)?,
        };
        let is_sane = (1..=MOST_BUCKETS).contains(&table.buckets)
            && table.bloom_words.is_power_of_two()
            && table.bloom_words <= MOST_BUCKETS;
        is_sane.then_some(table)
    }

    /// The address of a symbol, if it has this name and is defined here.
    fn symbol(&self, index: u32, name: &str) -> Option<u64> {
        // Elf32_Sym: name, value, size, info, other, section. Elf64_Sym: name, info, other, section, value, size.
        let (size, section, value) = if self.is_64 { (24, 6, 8) } else { (16, 14, 4) };
        let symbol = self.dynamic.symbols?.checked_add(u64::from(index) * size)?;
        if self.name_at(self.u32_at(symbol)?.into())? != name {
            return None;
        }
        let mut bytes = [0; 2];
        self.read_at(symbol.checked_add(section)?, &mut bytes)?;
        let is_import = bytes == [0, 0];
        if is_import { None } else { self.word_at(symbol.checked_add(value)?) }
    }
}

impl Dynamic {
    fn add(&mut self, tag: elf::DynamicTag, value: u64) {
        match tag {
            elf::DT_STRTAB => self.names = Some(value),
            elf::DT_STRSZ => self.names_size = value,
            elf::DT_SONAME => self.soname = Some(value),
            elf::DT_SYMTAB => self.symbols = Some(value),
            elf::DT_GNU_HASH => self.gnu_hash = Some(value),
            _ => {}
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
